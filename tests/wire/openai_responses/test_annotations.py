from typing import Any

import pytest
from openai.types.responses import ResponseOutputText
from openai.types.responses.response_output_text import Annotation
from pydantic import TypeAdapter

from pllm.wire.neutral import Citation
from pllm.wire.openai_responses.annotations import annotation

_SDK: TypeAdapter[Any] = TypeAdapter(Annotation)

URL = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 1, "end_index": 2}


@pytest.mark.parametrize(
    ("citation", "shown"),
    [
        (Citation("https://a", "A", None, 1, 2), URL),
        (Citation("https://a"), {**URL, "title": "", "start_index": 0, "end_index": 9}),
        (Citation("https://a", origin="openai", raw={**URL, "odd": 1}), {**URL, "odd": 1}),
        (
            Citation("https://a", origin="openai", raw={"type": "url_citation", "url_citation": URL}),
            URL,
        ),
        (
            Citation(title="report.pdf", quote="q", origin="anthropic", raw={"type": "page_location", "document_index": 2}),
            {"type": "file_citation", "file_id": "document_2", "filename": "report.pdf", "index": 9},
        ),
        (
            Citation(title="r", end=4, origin="anthropic", raw={"file_id": "file_1"}),
            {"type": "file_citation", "file_id": "file_1", "filename": "r", "index": 4},
        ),
    ],
)
def test_a_citation_is_an_annotation_of_the_sdk(citation: Citation, shown: dict[str, Any]) -> None:
    found = annotation(citation, 9)
    assert found == shown
    _SDK.validate_python(found, strict=True)
    ResponseOutputText.model_validate({"type": "output_text", "text": "", "annotations": [found]}, strict=True)
