"""The Gemini API's batches, and Vertex AI's two ways; requests judged by google-genai's types."""

from typing import Any

import pytest
from google.genai import types
from tests.wire.embeddings.worlds import GEMINI, VERTEX, VERTEX_2, answered, lane, part, sent

from pllm.core.errors import ErrorKind, GatewayError


def judged(contents: dict[str, Any]) -> str:
    """The text of a content that Google's own SDK understands."""
    read = types.Content.model_validate(contents)
    assert read.parts is not None
    return str(read.parts[0].text)


def test_the_gemini_api_takes_a_hundred_texts_a_call() -> None:
    made = lane(GEMINI, input=[f"t{n}" for n in range(150)], dimensions=768, input_type="query")
    bodies = sent(made)
    assert [len(body["requests"]) for body in bodies] == [100, 50]
    assert made.request.path == "models/gemini-embedding-001:batchEmbedContents"
    first = bodies[0]["requests"][0]
    assert judged(first.pop("content")) == "t0"
    assert first == {"model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 768}
    assert judged(bodies[1]["requests"][-1]["content"]) == "t149"
    answers = [{"embeddings": [{"values": [float(n)]} for n in range(count)]} for count in (100, 50)]
    answer = answered(made, *(part(one) for one in answers))
    assert [one["embedding"] for one in answer["data"]] == [[float(n)] for n in (*range(100), *range(50))]


def test_tokens_are_taken_from_who_tells_them_and_else_estimated() -> None:
    told = lane(GEMINI).gathered([part({"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 7}})])
    assert told.usage is not None
    assert (told.usage.input, told.estimated) == (7, False)
    silent = lane(GEMINI, input="x" * 30).gathered([part({"embeddings": [{"values": [1.0]}]})])
    assert silent.usage is not None
    assert (silent.usage.input, silent.estimated) == (10, True)


def test_vertex_predicts_one_text_a_call_and_cuts_none() -> None:
    made = lane(VERTEX, input=["a", "b"], dimensions=256, task_type="semantic_similarity")
    assert made.request.path == "models/gemini-embedding-001:predict"
    assert sent(made) == [
        {
            "instances": [{"content": text, "task_type": "SEMANTIC_SIMILARITY"}],
            "parameters": {"autoTruncate": False, "outputDimensionality": 256},
        }
        for text in ("a", "b")
    ]
    answer = answered(
        made,
        *(
            part({"predictions": [{"embeddings": {"values": [n], "statistics": {"truncated": False, "token_count": n}}}]})
            for n in (2.0, 3.0)
        ),
    )
    assert ([one["embedding"] for one in answer["data"]], answer["usage"]["prompt_tokens"]) == ([[2.0], [3.0]], 5)


def test_vertex_embeds_the_content_of_newer_models() -> None:
    made = lane(VERTEX_2, input_type="document", dimensions=768)
    assert made.request.path == "models/gemini-embedding-2:embedContent"
    assert sent(made) == [
        {
            "content": {"parts": [{"text": "hello"}]},
            "taskType": "RETRIEVAL_DOCUMENT",
            "autoTruncate": False,
            "outputDimensionality": 768,
        }
    ]
    answer = answered(made, part({"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 3}}))
    assert (answer["data"][0]["embedding"], answer["usage"]["total_tokens"]) == ([0.5], 3)


@pytest.mark.parametrize("of", [GEMINI, VERTEX, VERTEX_2])
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"embeddings": []},
        {"embeddings": [{}]},
        {"predictions": []},
        {"predictions": [{"embeddings": {}}]},
        {"embedding": 1},
    ],
)
def test_an_answer_without_vectors_is_the_providers_fault(of: tuple[str, str], answer: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(of).gathered([part(answer)])
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_a_task_that_is_no_text_is_named() -> None:
    with pytest.raises(GatewayError) as caught:
        lane(GEMINI, task_type=3)
    assert caught.value.param == "task_type"


def test_errors_are_googles() -> None:
    body = b'{"error":{"code":404,"message":"not found","status":"NOT_FOUND"}}'
    assert lane(VERTEX).error(404, {}, body).kind is ErrorKind.MODEL_NOT_FOUND
