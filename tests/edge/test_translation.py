"""Requests that an upstream of another dialect cannot carry as they are: refused by name, mended, dropped and reported."""

from typing import Any

import pytest
from tests.support.dialects import CONVERSE, GEMINI, MESSAGES, Dialect
from tests.support.gateway import gateway
from tests.support.upstream import upstream

ORPHANED: Any = [
    {"role": "user", "content": "weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
    },
    {"role": "user", "content": "never mind"},
]
OTHERS = pytest.mark.parametrize("dialect", [MESSAGES, CONVERSE, GEMINI], ids=lambda dialect: dialect.name)


@OTHERS
async def test_case_05_a_call_without_a_result_is_refused_by_name(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        response = await gw.chat(messages=ORPHANED)
        assert response.status_code == 400
        error = response.json()["error"]
        assert "'c1' (get_weather) has no tool result" in error["message"]
        assert str(error["param"]).startswith("messages[1]")
        assert up.requests == []


@OTHERS
async def test_case_05_or_mended_where_the_configuration_says_so_and_reported(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)], repair_history=True) as gw:
        up.will_answer(dialect.whole)
        response = await gw.chat(messages=ORPHANED)
        assert response.status_code == 200
        assert "tool_result:c1" in response.headers["x-pllm-emulated"].split(", ")


@OTHERS
async def test_case_23_a_parameter_that_cannot_be_honoured_is_refused_naming_it_and_the_model(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        response = await gw.chat(logit_bias={"1": 5})
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["param"] == "logit_bias"
        assert "'m'" in error["message"]
        assert up.requests == []


@OTHERS
async def test_case_23_or_dropped_and_listed(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)], drop_unsupported=True) as gw:
        up.will_answer(dialect.whole)
        response = await gw.chat(logit_bias={"1": 5})
        assert response.headers["x-pllm-dropped"] == "logit_bias"
        assert gw.log()["dropped"] == ["logit_bias"]


@OTHERS
async def test_a_broken_answer_is_the_upstreams_fault_in_any_dialect(dialect: Dialect) -> None:
    bodies: tuple[Any, ...] = ({}, [], {"unexpected": True}, dialect.error)
    for body in bodies:
        async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
            up.will_answer(body)
            response = await gw.chat()
            assert response.status_code == (429 if body is dialect.error and dialect is not CONVERSE else 502), body


@OTHERS
@pytest.mark.parametrize("stream", [False, True])
async def test_case_25_an_error_of_any_dialect_is_one_of_the_clients(dialect: Dialect, stream: bool) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will_answer(dialect.error, 429, retry_after="17")
        response = await gw.chat(stream=stream)
        assert (response.status_code, response.headers["retry-after"]) == (429, "17")
        assert "boom" in response.json()["error"]["message"]
