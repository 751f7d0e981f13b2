"""Recorded embeddings of Bedrock and the Gemini API: what was sent then is what we send, and what came is read whole.

Read from the environment variable PLLM_CASSETTES or from ../shared/cassettes beside the checkout; never copied.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.wire.embeddings.worlds import lane, sent

from pllm.core.errors import ErrorKind
from pllm.wire.lane import Part

FOLDER = Path(os.environ.get("PLLM_CASSETTES", str(Path(__file__).resolve().parents[4] / "shared" / "cassettes")))

pytestmark = [
    pytest.mark.needs_cassettes,
    pytest.mark.skipif(
        not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
    ),
]


def recording(provider: str, name: str) -> Any:
    (path,) = (FOLDER / provider).glob(f"*{name}*.json")
    return json.loads(path.read_text("utf-8"))["interactions"][0]


def part_of(response: Any) -> Part:
    return Part(response["status"], response["headers"], json.dumps(response["json"]).encode())


def test_titan() -> None:
    one = recording("bedrock", "titan-v2-with-normalize")
    made = lane(("bedrock", "amazon.titan-embed-text-v2:0"), input=one["request"]["json"]["inputText"], normalize=True)
    assert sent(made) == [one["request"]["json"]]
    assert one["request"]["uri"].endswith(made.request.path)
    found = made.gathered([part_of(one["response"])])
    answer = json.loads(found.body)
    assert answer["data"][0]["embedding"] == one["response"]["json"]["embedding"]
    assert answer["usage"]["prompt_tokens"] == int(one["response"]["headers"]["x-amzn-bedrock-input-token-count"])
    assert not found.estimated


def test_gemini() -> None:
    one = recording("gemini", "google-task-prefix-symmetric")
    text = one["request"]["json"]["requests"][0]["content"]["parts"][0]["text"]
    made = lane(("gemini", "gemini-embedding-2"), input=text)
    assert sent(made) == [one["request"]["json"]]
    assert one["request"]["uri"].endswith(made.request.path)
    answer = json.loads(made.gathered([part_of(one["response"])]).body)
    assert answer["data"][0]["embedding"] == one["response"]["json"]["embeddings"][0]["values"]
    assert answer["usage"]["prompt_tokens"] == 7


def test_a_model_that_gemini_does_not_have() -> None:
    one = recording("gemini", "TestGoogle.test-embed-error")["response"]
    made = lane(("gemini", "gemini-embedding-001"))
    error = made.error(one["status"], one["headers"], json.dumps(one["json"]).encode())
    assert (error.kind, error.upstream_status) == (ErrorKind.MODEL_NOT_FOUND, 404)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("TestCohere.test-documents", {}),
        ("TestCohere.test-query-with-truncate", {"input_type": "query", "truncate": "END"}),
    ],
)
def test_cohere(name: str, body: dict[str, Any]) -> None:
    one = recording("cohere", name)
    asked = {field: value for field, value in one["request"]["json"].items() if value is not None}
    made = lane(("cohere", "embed-v4.0"), input=asked["texts"], **body)
    assert sent(made) == [asked]
    assert one["request"]["uri"].endswith(f"/v2/{made.request.path}")
    found = made.gathered([part_of(one["response"])])
    answer = json.loads(found.body)
    assert [one["embedding"] for one in answer["data"]] == one["response"]["json"]["embeddings"]["float"]
    assert answer["usage"]["prompt_tokens"] == one["response"]["json"]["meta"]["billed_units"]["input_tokens"]


def test_an_older_model_of_cohere() -> None:
    response = recording("cohere", "v2-embed-legacy")
    made = lane(("cohere", "embed-english-v3.0"), input=response["request"]["json"]["texts"])
    answer = json.loads(made.gathered([part_of(response["response"])]).body)
    assert (len(answer["data"]), answer["usage"]["prompt_tokens"]) == (6, 208)


def test_a_model_that_cohere_does_not_have() -> None:
    one = recording("cohere", "TestCohere.test-embed-error")["response"]
    error = lane(("cohere", "embed-v4.0")).error(one["status"], one["headers"], json.dumps(one["json"]).encode())
    assert (error.kind, error.status) == (ErrorKind.MODEL_NOT_FOUND, 404)
