"""What is refused of an embeddings request, by name."""

from typing import Any

import pytest
from tests.wire.embeddings.worlds import OPENAI, TITAN_V2, call, deployment, lane

from pllm.core.errors import GatewayError
from pllm.wire.embeddings.request import MOST_INPUTS


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": ["a"] * (MOST_INPUTS + 1)}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "256"}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"normalize": "yes"}, "normalize"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(TITAN_V2, **body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_pass_over_who_has_another_tokenizer(tokens: Any) -> None:
    asked = call(input=tokens)
    refusal = asked.refusal(deployment(TITAN_V2))
    assert refusal is not None
    assert (refusal.status, refusal.param) == (400, "input")
    assert "amazon.titan-embed-text-v2:0" in refusal.message
    assert asked.refusal(deployment(OPENAI)) is None


def test_a_list_of_tokens_is_one_input_and_a_list_of_texts_many() -> None:
    assert (call(input=[1, 2, 3]).demand.inputs, call(input="x").demand.inputs, call(input=["a", "b"]).demand.inputs) == (
        1,
        1,
        2,
    )
    assert (call(input=[[1], [2, 3]]).demand.inputs, call(input=[]).demand.inputs, call(input=None).demand.inputs) == (2, 1, 1)


def test_a_model_that_makes_something_else_is_refused_with_its_mode() -> None:
    refusal = call().refusal(deployment(("bedrock", "amazon.nova-pro-v1:0")))
    assert refusal is not None
    assert (refusal.code, refusal.param) == ("unsupported_endpoint", "model")
    assert "its mode is 'chat'" in refusal.message


def test_a_model_that_nobody_knows_is_refused_with_what_would_help() -> None:
    refusal = call().refusal(deployment(("bedrock", "arn:aws:bedrock:eu-west-1:1:provisioned-model/x")))
    assert refusal is not None
    assert refusal.code == "unsupported_endpoint"
    assert "base_model" in refusal.message


def test_claude_makes_no_embeddings() -> None:
    refusal = call().refusal(deployment(("anthropic", "claude-sonnet-4-5")))
    assert refusal is not None
    assert "its mode is 'chat'" in refusal.message
