"""Every way a stream can break, at every position, on every upstream wire, for every client: always an explicit error that the
official SDK raises, never a clean end (translation cases 17 and 18)."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import anthropic
import openai
import pytest
from tests.support.dialects import DIALECTS, END, Dialect
from tests.support.gateway import KEY, Harness, gateway
from tests.support.upstream import Cut, Hang, Step, chunk, upstream

HELLO: Any = [{"role": "user", "content": "hi"}]
PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}}}

Run = Callable[[Harness], Awaitable[None]]
"""Asks for a stream and reads it to its end, as an application would."""


async def chat(gw: Harness) -> None:
    sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
    async for _ in await sdk.chat.completions.create(model="m", messages=HELLO, tools=tools, stream=True):
        pass


async def messages(gw: Harness) -> None:
    sdk = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://gateway", http_client=gw.client, max_retries=0)
    tools: Any = [{"name": "get_weather", "input_schema": PARAMETERS}]
    async with sdk.messages.stream(model="m", max_tokens=99, messages=HELLO, tools=tools) as running:
        await running.get_final_message()


async def responses(gw: Harness) -> None:
    sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}]
    async with sdk.responses.stream(model="m", input=HELLO, tools=tools, store=False) as running:
        await running.get_final_response()


CLIENTS: Mapping[str, Run] = {"chat": chat, "messages": messages, "responses": responses}
RAISED = (openai.APIError, anthropic.APIError)


def faults(dialect: Dialect) -> Iterator[tuple[str, Sequence[Step]]]:
    """What may come in place of the rest of a stream."""
    yield "cut", (Cut(),)
    yield "ends early", (END,)
    yield "cut inside an event", (chunk(dialect.events[0][:12]), Cut())
    yield "ends inside an event", (chunk(dialect.events[0][:12]), END)
    yield "stalls", (Hang(),)
    for name, data in (*dialect.reports.items(), *dialect.malformed.items()):
        # The rest follows as if nothing had been: it must not heal the stream.
        yield name, (chunk(data), *map(chunk, dialect.events), END)


CASES = [
    pytest.param(client, dialect, position, fault, id=f"{client}-from-{dialect.name}-{fault}-at-{position}")
    for client in CLIENTS
    for dialect in DIALECTS
    for fault in dict(faults(dialect))
    for position in range(len(dialect.events))  # before each event; after the last the stream is whole
]


@pytest.mark.parametrize(("client", "dialect", "position", "fault"), CASES)
async def test_case_18_a_broken_stream_is_an_error_that_the_sdk_raises(
    client: str, dialect: Dialect, position: int, fault: str
) -> None:
    end = dict(faults(dialect))[fault]
    async with upstream() as up:
        up.will(*dialect.stream(dialect.events[:position], end))
        async with gateway([dialect.deployment(up, stream_idle_timeout_s=0.03)]) as gw:
            with pytest.raises(RAISED):
                await CLIENTS[client](gw)
            assert gw.log()["error"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_the_whole_stream_is_no_error(client: str, dialect: Dialect) -> None:
    async with upstream() as up:
        up.will(*dialect.stream())
        async with gateway([dialect.deployment(up)]) as gw:
            await CLIENTS[client](gw)
            assert "error" not in gw.log()
            assert gw.log()["completion_tokens"] == 5
