"""Every fault that llmock can inject, driven through the gateway with the official SDKs.

llmock is somebody else's mock provider. It breaks on demand, and gives a verdict on how its client, which is the gateway,
coped: whether it waited as long as it was asked to, backed off, stopped in time, and noticed that a stream was cut.
"""

import asyncio
import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.support.gateway import deployment
from tests.support.gateway import gateway as built
from tests.support.llmock import Llmock, running_llmock
from tests.support.processes import LOCAL_KEY, Running, pllm_local

from pllm.cli_probe import probe

_TRIES = 3
_IDLE_S = 1.5
_MODELS = 120
_STORY = "a story that is too long to be sent in five chunks and ends in pong"


@pytest.fixture(scope="module")
def llmock() -> Iterator[Llmock]:
    # Chunks that come together would be judged together: then a fault after the first is still one before the first byte.
    with running_llmock("--response-style", "echo", "--context-window", "2000", "--stream-chunk-delay-ms", "10") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(llmock: Llmock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model of its own for every test, so that what one did to a deployment's health is not the next one's concern."""
    options = f"stream_idle_timeout: {_IDLE_S}, timeout: 20"
    lines = ["model_list:"]
    for number in range(_MODELS):
        chat = f"{{model: compatible/gpt-{number}, api_base: '{llmock.url}/v1', api_key: sk-1}}"
        claude = f"{{model: anthropic/claude-{number}, api_base: '{llmock.url}/anthropic/v1', api_key: sk-1}}"
        lines += [f"  - {{model_name: chat-{number}, {options}, params: {chat}}}"]
        lines += [f"  - {{model_name: messages-{number}, {options}, params: {claude}}}"]
    config: Path = tmp_path_factory.mktemp("llmock") / "config.yaml"
    config.write_text("\n".join([*lines, f"router: {{retries: {_TRIES - 1}}}"]) + "\n")
    with pllm_local("--config", str(config), "--workers", "2") as running:
        yield running


class Caller:
    """An official SDK against one upstream dialect. Text in, text out; the SDK's own errors come through."""

    def __init__(self, clients: tuple[openai.OpenAI, anthropic.Anthropic], sdk: str, model: str) -> None:
        self.sdk, self.model = sdk, model
        self.openai, self.anthropic = clients

    @property
    def error(self) -> tuple[type[Exception], ...]:
        return openai.APIError, anthropic.APIError

    def whole(self, words: str = "ping") -> str:
        messages: Any = [{"role": "user", "content": words}]
        if self.sdk == "openai":
            answer = self.openai.chat.completions.create(model=self.model, messages=messages)
            return answer.choices[0].message.content or ""
        said = self.anthropic.messages.create(model=self.model, messages=messages, max_tokens=99)
        return "".join(block.text for block in said.content if block.type == "text")

    def refused(self, *status: int, words: str = "ping", stream: bool = False) -> httpx2.Response:
        """What the SDK was told with an error of one of these statuses."""
        with pytest.raises(self.error) as caught:
            self.streamed(words) if stream else self.whole(words)
        error = caught.value
        assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError), repr(error)
        assert error.status_code in status, error
        return error.response

    def streamed(self, words: str = "ping", heard: list[str] | None = None) -> str:
        """`heard` keeps what came, also when an error ends it."""
        pieces = heard if heard is not None else []
        messages: Any = [{"role": "user", "content": words}]
        if self.sdk == "openai":
            for chunk in self.openai.chat.completions.create(model=self.model, messages=messages, stream=True):
                pieces.extend(choice.delta.content or "" for choice in chunk.choices)
        else:
            with self.anthropic.messages.stream(model=self.model, messages=messages, max_tokens=99) as stream:
                pieces.extend(stream.text_stream)
        return "".join(pieces)


@pytest.fixture(scope="module")
def clients(gateway: Running) -> Iterator[tuple[openai.OpenAI, anthropic.Anthropic]]:
    """Without retries of their own, which would hide the gateway's."""
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=LOCAL_KEY, timeout=30.0, max_retries=0) as first,
        anthropic.Anthropic(base_url=gateway.url, api_key=LOCAL_KEY, timeout=30.0, max_retries=0) as second,
    ):
        yield first, second


_numbers = itertools.count()


@pytest.fixture(params=["openai-chat", "openai-messages", "anthropic-messages", "anthropic-chat"])
def caller(request: pytest.FixtureRequest, clients: tuple[openai.OpenAI, anthropic.Anthropic]) -> Caller:
    """Each SDK against each upstream dialect: the same-dialect lanes and the translated ones."""
    sdk, _, upstream = request.param.partition("-")
    return Caller(clients, sdk, f"{upstream}-{next(_numbers) % _MODELS}")


def test_two_rate_limits_are_waited_out_as_long_as_they_ask(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "fail", "status": 429, "retry_after": 1, "times": 2})
    started_s = time.monotonic()
    assert "ping" in caller.whole()
    assert time.monotonic() - started_s >= 2
    assert llmock.findings() == []
    assert [one["status"] for one in llmock.seen()] == [429, 429, 200]


def test_a_rate_limit_too_long_to_wait_for_is_the_clients(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "fail", "status": 429, "retry_after": 3600})
    limited = caller.refused(429)
    assert 3590 <= int(limited.headers["retry-after"]) <= 3600
    assert set(llmock.findings()) <= {"gave_up"}  # a warning: nobody should wait for an hour


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_a_server_error_that_passes_is_not_seen(llmock: Llmock, caller: Caller, status: int) -> None:
    llmock.will({"type": "fail", "status": status, "retry_after": 0.1})
    assert "ping" in caller.whole()
    assert llmock.findings() == []
    assert [one["status"] for one in llmock.seen()] == [status, 200]


def test_a_server_error_that_stays_is_tried_a_few_times(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "fail", "status": 500, "times": 20})
    failed = caller.refused(500, 502)
    assert failed.headers["x-pllm-attempts"] == str(_TRIES)
    assert set(llmock.findings()) <= {"no_backoff"}  # it wants each pause to be longer; with full jitter that is chance
    assert len(llmock.seen()) == _TRIES


class Latest(Random):
    """Always the longest pause."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


async def test_the_bounds_of_the_pauses_grow(llmock: Llmock) -> None:
    """The judge's own rule, of the pauses that the jitter draws from."""
    llmock.will({"type": "fail", "status": 500, "times": 20})
    only = deployment(llmock.url)
    async with built([only], retries=_TRIES - 1, random=Latest(1), sleep=asyncio.sleep) as gw:
        assert (await gw.chat()).status_code in (500, 502)
    assert len(llmock.seen()) == _TRIES
    assert llmock.findings() == []


@pytest.mark.parametrize(("status", "told"), [(400, {400}), (401, {502}), (403, {502}), (404, {404}), (422, {400, 422})])
def test_what_no_retry_can_mend_is_not_retried(llmock: Llmock, caller: Caller, status: int, told: set[int]) -> None:
    """The upstream's 401 and 403 are about the gateway's credential: a client told so would doubt its own."""
    llmock.will({"type": "fail", "status": status, "message": "no, thank you", "times": 20})
    caller.refused(*told)
    assert llmock.findings() == []
    assert len(llmock.seen()) == 1


def test_a_prompt_above_the_context_window_is_named_as_such(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "reply", "text": "never sent"})
    error = caller.refused(400, words="word " * 3000).json()["error"]
    if caller.sdk == "openai":
        assert error["code"] == "context_length_exceeded"
    assert "2000" in error["message"]
    assert llmock.findings() == []


@pytest.mark.parametrize("kind", ["truncate", "disconnect", "malformed", "stall"])
def test_a_stream_that_breaks_before_its_first_event_is_asked_for_again(llmock: Llmock, caller: Caller, kind: str) -> None:
    llmock.will({"type": "stream_fault", "kind": kind, "after_chunks": 0, "stall_seconds": 4 * _IDLE_S})
    assert "ping" in caller.streamed()
    assert [one["status"] for one in llmock.seen()][-2:] == [200, 200]
    assert set(llmock.findings()) <= {"malformed_chunk_ignored"}  # said of any stream that llmock could finish writing


@pytest.mark.parametrize("kind", ["truncate", "disconnect", "malformed", "stall"])
def test_a_stream_that_breaks_in_the_middle_is_an_error_that_the_client_sees(llmock: Llmock, caller: Caller, kind: str) -> None:
    llmock.will({"type": "stream_fault", "kind": kind, "after_chunks": 5, "stall_seconds": 4 * _IDLE_S})
    heard: list[str] = []
    with pytest.raises(caller.error):
        caller.streamed(_STORY, heard)
    assert "pong" not in "".join(heard)
    # What a client that was told will do; one that was not would have kept half an answer.
    assert "pong" in caller.streamed(_STORY)
    assert set(llmock.findings()) <= {"malformed_chunk_ignored"}


def test_a_slow_first_token_is_waited_for(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "slow_first_token", "seconds": 0.3 * _IDLE_S})
    assert "ping" in caller.streamed()
    assert llmock.findings() == []
    assert len(llmock.seen()) == 1


def test_a_slow_answer_is_waited_for(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "delay", "seconds": 0.3 * _IDLE_S})
    assert "ping" in caller.whole()
    assert len(llmock.seen()) == 1


def test_an_error_before_a_stream_is_a_status_and_not_an_event(llmock: Llmock, caller: Caller) -> None:
    llmock.will({"type": "fail", "status": 400, "message": "no, thank you"})
    caller.refused(400, stream=True)


TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize(
    ("kind", "said"), [("unknown_tool", ("llmock_unknown_tool", "{}")), ("malformed_arguments", ("get_weather", "{"))]
)
def test_a_models_broken_tool_call_is_the_clients_to_judge(
    llmock: Llmock, clients: tuple[openai.OpenAI, anthropic.Anthropic], upstream: str, kind: str, said: tuple[str, str]
) -> None:
    """What a model says, sense or not, arrives as it was said."""
    llmock.will({"type": "tool_fault", "kind": kind})
    messages: Any = [{"role": "user", "content": "How is the weather?"}]
    model = f"{upstream}-{next(_numbers) % _MODELS}"
    calls: list[Any] = []
    for chunk in clients[0].chat.completions.create(model=model, messages=messages, tools=TOOLS, stream=True):
        calls += [call.function for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert ("".join(call.name or "" for call in calls), "".join(call.arguments or "" for call in calls)) == said
    assert len(llmock.seen()) == 1


def test_health_probes_find_it_there_and_find_it_failing(llmock: Llmock, tmp_path: Path) -> None:
    """As `pllm probe` asks: the list for nothing, one token where that is paid for, and each of them once."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model_list: [{{model_name: m, params: {{model: openai/gpt-4o, api_base: '{llmock.url}/v1', api_key: sk-1}}}}]\n"
    )

    def probed(*paid: str) -> tuple[int, str]:
        out = io.StringIO()
        return probe(str(config), paid, environment={}, out=out), out.getvalue().split()[0]

    llmock.will({"type": "reply", "text": "pong"})
    assert probed() == (0, "ok")
    assert [(one["method"], one["path"]) for one in llmock.seen()] == [("GET", "/v1/models")]
    llmock.will({"type": "reply", "text": "pong"})
    assert probed("openai") == (0, "ok")
    assert [(one["method"], one["path"]) for one in llmock.seen()] == [("POST", "/v1/chat/completions")]
    llmock.will({"type": "fail", "status": 500, "times": 5})
    assert probed("openai") == (1, "failed")
    assert len(llmock.seen()) == 1
    assert llmock.findings() == ["gave_up"]  # a probe is made once
    llmock.will({"type": "fail", "status": 429, "retry_after": 60, "times": 5})
    assert probed("openai") == (1, "failed")
    assert len(llmock.seen()) == 1
