from typing import Any

import pytest

from pllm.core.errors import GatewayError
from pllm.wire.defaults import with_defaults
from pllm.wire.neutral import Message, Reasoning, Request, ResponseFormat, Text

SILENT = Request("m", (Message("user", (Text("hi"),)),))

SPOKEN = Request(
    "m",
    (Message("user", (Text("hi"),)),),
    max_tokens=1,
    temperature=0.0,
    stop=("a",),
    n=2,
    reasoning=Reasoning(effort="low"),
    response_format=ResponseFormat("text"),
    parallel_tool_calls=True,
    extras={"guardrailConfig": {"a": 1}},
)

DEFAULTS: dict[str, Any] = {
    "max_tokens": 500,
    "temperature": 1,
    "stop": "END",
    "n": 3,
    "reasoning_effort": "high",
    "response_format": {"type": "json_object"},
    "parallel_tool_calls": False,
    "guardrailConfig": {"b": 2},
    "seed": None,
}


def test_defaults_fill_what_the_client_left_out() -> None:
    filled = with_defaults(SILENT, DEFAULTS)
    assert (filled.max_tokens, filled.temperature, filled.stop, filled.n, filled.seed) == (500, 1, ("END",), 3, None)
    assert filled.reasoning == Reasoning(effort="high")
    assert filled.response_format == ResponseFormat("json_object")
    assert filled.parallel_tool_calls is False
    assert filled.extras == {"guardrailConfig": {"b": 2}}


def test_what_the_client_said_wins_over_every_default() -> None:
    assert with_defaults(SPOKEN, DEFAULTS) == SPOKEN


def test_either_spelling_of_the_cap_is_understood() -> None:
    assert with_defaults(SILENT, {"max_completion_tokens": 7}).max_tokens == 7


def test_a_default_schema_becomes_the_answers_format() -> None:
    value = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
    expected = ResponseFormat("json_schema", {"type": "object"}, "x", None, True)
    assert with_defaults(SILENT, {"response_format": value}).response_format == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", "many"),
        ("max_tokens", True),
        ("temperature", "hot"),
        ("temperature", True),
        ("stop", 3),
        ("stop", [3]),
        ("n", 1.5),
        ("reasoning_effort", 3),
        ("response_format", "json"),
        ("response_format", {"type": "xml"}),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
        ("logprobs", 1),
    ],
)
def test_a_default_of_the_wrong_type_is_an_error_that_names_it(name: str, value: object) -> None:
    with pytest.raises(GatewayError, match=name) as caught:
        with_defaults(SILENT, {name: value})
    assert caught.value.status == 400
