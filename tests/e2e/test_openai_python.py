"""The official openai SDK for Python, unchanged, against the running gateway."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from tests.support.processes import LOCAL_KEY, Running

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} somewhere",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("get_weather", "get_time")
]


@pytest.fixture(scope="module")
def sdk(local: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{local.url}/v1", api_key=LOCAL_KEY, max_retries=0) as client:
        yield client


def test_models(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == ["demo", "local"]
    assert sdk.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("dmeo")


def test_a_completion(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="local", messages=HELLO)
    assert answer.choices[0].message.content == "[demo upstream, no model] You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_a_stream_with_usage(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="local",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "[demo upstream, no model] You said: hello"
    assert chunks[-1].usage is not None
    assert all(c.usage is None for c in chunks[:-1])


async def test_the_async_client(local: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{local.url}/v1", api_key=LOCAL_KEY) as client:

        async def ask(words: str) -> str:
            stream = await client.chat.completions.create(
                model="local", messages=[{"role": "user", "content": words}], stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream])

        answers = await asyncio.gather(*(ask(f"question {n}") for n in range(6)))
        assert answers == [f"[demo upstream, no model] You said: question {n}" for n in range(6)]


def test_parallel_tool_calls(sdk: openai.OpenAI) -> None:
    answer: Any = sdk.chat.completions.create(model="local", messages=HELLO, tools=TOOLS)
    calls = answer.choices[0].message.tool_calls
    assert [(c.function.name, c.function.arguments) for c in calls] == [
        ("get_weather", '{"city": "demo"}'),
        ("get_time", '{"city": "demo"}'),
    ]
    history = [*HELLO, answer.choices[0].message.model_dump(exclude_none=True)]
    history += [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in calls]
    final: Any = sdk.chat.completions.create(model="local", messages=history, tools=TOOLS)
    assert "sunny" in final.choices[0].message.content


def test_tool_calls_in_a_stream_keep_their_indexes(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(model="local", messages=HELLO, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert [c.function.arguments for c in message.tool_calls] == ['{"city": "demo"}'] * 2


def test_structured_output(sdk: openai.OpenAI) -> None:
    class Weather(pydantic.BaseModel):
        city: str
        degrees: float
        tags: list[str]

    parsed = sdk.chat.completions.parse(model="local", messages=HELLO, response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(city="demo", degrees=1.5, tags=["demo"])


def test_the_raw_response_carries_our_headers(sdk: openai.OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="local", messages=HELLO)
    assert raw.headers["x-pllm-model"] == "local"
    assert raw.headers["x-pllm-deployment"].startswith("demo@compatible/demo")
    assert raw.parse().choices[0].message.content


def test_errors_are_the_sdks_own(local: Running, sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.chat.completions.create(model="local", messages=[])
    assert bad.value.param == "messages"
    stranger = openai.OpenAI(base_url=f"{local.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
