"""Cohere's models by InvokeModel: 96 texts a call, with the type of the input."""

from typing import Any

import pytest
from tests.wire.embeddings.worlds import COHERE_V3, COHERE_V4, answered, lane, part, sent

from pllm.core.errors import ErrorKind, GatewayError


def test_texts_go_ninety_six_at_a_time_and_come_back_in_order() -> None:
    texts = [f"text {n}" for n in range(200)]
    made = lane(COHERE_V3, input=texts)
    bodies = sent(made)
    assert [len(body["texts"]) for body in bodies] == [96, 96, 8]
    assert [text for body in bodies for text in body["texts"]] == texts
    assert {key: value for key, value in bodies[0].items() if key != "texts"} == {
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    parts = [
        part(
            {"embeddings": {"float": [[float(text[5:])] for text in body["texts"]]}},
            x_amzn_bedrock_input_token_count="9",
        )
        for body in bodies
    ]
    answer = answered(made, *parts)
    assert [one["embedding"] for one in answer["data"]] == [[float(n)] for n in range(200)]
    assert [one["index"] for one in answer["data"]] == list(range(200))
    assert answer["usage"]["prompt_tokens"] == 27


@pytest.mark.parametrize(
    ("given", "sent_as"),
    [("query", "search_query"), ("search_query", "search_query"), ("passage", "search_document"), ("Clustering", "clustering")],
)
def test_the_type_of_the_input_is_the_clients_to_say(given: str, sent_as: str) -> None:
    assert sent(lane(COHERE_V3, input_type=given))[0]["input_type"] == sent_as
    default = {"defaults": {"input_type": given}}
    assert sent(lane(COHERE_V3, default))[0]["input_type"] == sent_as
    assert sent(lane(COHERE_V3, default, input_type="classification"))[0]["input_type"] == "classification"


@pytest.mark.parametrize("body", [{"input_type": "poem"}, {"input_type": 1}, {"truncate": "MIDDLE"}, {"truncate": True}])
def test_an_option_that_is_none_is_named(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(COHERE_V3, **body)
    assert (caught.value.status, caught.value.param) == (400, next(iter(body)))


def test_dimensions_are_for_the_fourth_version() -> None:
    made = lane(COHERE_V4, dimensions=512, truncate="end")
    assert sent(made)[0] == {
        "texts": ["hello"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "END",
        "output_dimension": 512,
    }
    assert made.request.path == "model/us.cohere.embed-v4%3A0/invoke"
    with pytest.raises(GatewayError) as caught:
        lane(COHERE_V3, dimensions=512)
    assert (caught.value.kind, caught.value.param) == (ErrorKind.UNSUPPORTED_PARAMETER, "dimensions")


def test_the_older_form_of_the_answer_is_read_too() -> None:
    made = lane(COHERE_V3, input=["a", "b"])
    assert [one["embedding"] for one in answered(made, part({"embeddings": [[1.5], [2.5]]}))["data"]] == [[1.5], [2.5]]


@pytest.mark.parametrize("embeddings", [None, {"int8": [[1]]}, {"float": [[1.0]]}, [[1.0], [2.0], [3.0]], [1.0, 2.0]])
def test_another_number_of_vectors_than_texts_is_the_providers_fault(embeddings: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(COHERE_V3, input=["a", "b"]).gathered([part({"embeddings": embeddings})])
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL
