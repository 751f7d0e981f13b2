"""Titan by InvokeModel: one text a call, judged by botocore."""

import json
from dataclasses import replace
from typing import cast

import pytest
from tests.wire.embeddings.worlds import (
    COHERE_V3,
    CONTEXT,
    TITAN_IMAGE,
    TITAN_V1,
    TITAN_V2,
    answered,
    call,
    deployment,
    lane,
    part,
    sent,
    target,
    unpacked,
)

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.lane import GatheringLane
from pllm.wire.usage import Usage


def test_every_text_is_a_call_in_its_order() -> None:
    made = lane(TITAN_V2, input=["one", "two", "drei ü"])
    assert sent(made) == [{"inputText": "one"}, {"inputText": "two"}, {"inputText": "drei ü"}]
    assert made.request.path == "model/amazon.titan-embed-text-v2%3A0/invoke"
    answer = answered(made, *(part({"embedding": [n, 0.5], "inputTextTokenCount": n}) for n in (1, 2, 4)))
    assert [(one["object"], one["index"], one["embedding"]) for one in answer["data"]] == [
        ("embedding", 0, [1, 0.5]),
        ("embedding", 1, [2, 0.5]),
        ("embedding", 2, [4, 0.5]),
    ]
    assert (answer["object"], answer["model"], answer["usage"]) == ("list", "m", {"prompt_tokens": 7, "total_tokens": 7})


def test_base64_is_little_endian_floats_of_32_bits() -> None:
    answer = answered(lane(TITAN_V2, encoding_format="base64"), part({"embedding": [0.5, -1.25, 1], "inputTextTokenCount": 1}))
    assert unpacked(answer["data"][0]["embedding"]) == [0.5, -1.25, 1.0]


def test_dimensions_and_normalize_go_to_who_has_them() -> None:
    assert sent(lane(TITAN_V2, dimensions=256, normalize=False)) == [
        {"inputText": "hello", "dimensions": 256, "normalize": False}
    ]
    assert sent(lane(TITAN_IMAGE, dimensions=384)) == [
        {"inputText": "hello", "embeddingConfig": {"outputEmbeddingLength": 384}}
    ]


def test_dimensions_of_a_model_that_has_one_length_are_refused_with_its_name() -> None:
    with pytest.raises(GatewayError) as caught:
        lane(TITAN_V1, dimensions=256)
    error = caught.value
    assert (error.kind, error.status, error.param) == (ErrorKind.UNSUPPORTED_PARAMETER, 400, "dimensions")
    assert "amazon.titan-embed-text-v1" in error.message


def test_what_may_be_dropped_is_dropped_and_listed() -> None:
    made = lane(TITAN_V1, {"drop_unsupported": True}, dimensions=256, input_type="search_query", user="u-1")
    assert sent(made) == [{"inputText": "hello"}]
    assert made.dropped == ("dimensions", "input_type", "user")


def test_a_deployments_defaults_hold_where_the_client_is_silent() -> None:
    defaults = {"defaults": {"dimensions": 512, "temperature": 0.3}}
    assert sent(lane(TITAN_V2, defaults)) == [{"inputText": "hello", "dimensions": 512}]
    assert sent(lane(TITAN_V2, defaults, dimensions=256)) == [{"inputText": "hello", "dimensions": 256}]
    assert lane(TITAN_V2, defaults).dropped == ("temperature",)


@pytest.mark.parametrize(
    "answer",
    [{}, {"embedding": []}, {"embedding": "x"}, {"embedding": [1, "2"]}, {"embedding": [True]}, {"embedding": None}, [1], "x"],
)
def test_an_answer_without_a_vector_is_the_providers_fault(answer: object) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(TITAN_V2).gathered([part(answer)])
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_a_number_beyond_32_bits_is_not_made_up() -> None:
    with pytest.raises(GatewayError) as caught:
        lane(TITAN_V2, encoding_format="base64").gathered([part({"embedding": [1e300]})])
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_where_no_tokens_are_told_they_are_estimated_and_that_is_said() -> None:
    found = lane(TITAN_V2, input=["x" * 30, "y" * 3]).gathered(
        [part({"embedding": [1.0]}), part({"embedding": [1.0], "inputTextTokenCount": 2})]
    )
    assert found.usage is not None
    assert (found.usage.input, found.estimated) == (12, True)


def test_what_some_calls_used_is_known_when_another_fails() -> None:
    made = lane(TITAN_V2, input=["a", "b", "c"])
    assert made.used([]) is None
    assert made.used([part("nonsense")]) is None
    used = made.used([replace(part({"embedding": [1.0], "inputTextTokenCount": 5 + n}), number=n) for n in (0, 2)])
    assert used is not None
    assert used.input == 12


def test_a_call_that_was_answered_is_not_made_again() -> None:
    asked = call(input=["a", "bb", "ccc", "d"])

    def again(of: tuple[str, str] = TITAN_V2) -> GatheringLane:
        return cast("GatheringLane", asked.lane(deployment(of), target(of), CONTEXT)[0])

    answers = [part({"embedding": [float(n)], "inputTextTokenCount": n}) for n in range(4)]
    again().used([replace(answers[n], number=n) for n in (0, 2)])
    second = again()
    assert [body["inputText"] for body in sent(second)] == ["bb", "d"]
    used = second.used([replace(answers[3], number=1)])
    assert used is not None
    assert used.input == 3  # what the first try used is charged as that try's
    last = again().gathered([answers[1]])
    answer = json.loads(last.body)
    assert [one["embedding"] for one in answer["data"]] == [[0.0], [1.0], [2.0], [3.0]]
    assert answer["usage"]["prompt_tokens"] == 6
    assert (last.usage, last.estimated) == (Usage(input=1), False)
    assert len(sent(again(COHERE_V3))[0]["texts"]) == 4


def test_errors_are_bedrocks() -> None:
    error = lane(TITAN_V2).error(429, {"x-amzn-errortype": "ThrottlingException"}, b'{"message":"Too many requests"}')
    assert (error.kind, error.retryable) == (ErrorKind.RATE_LIMITED, True)
