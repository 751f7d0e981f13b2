"""What traces hold of a conversation: the same for every client dialect and every upstream, and nothing unless asked for."""

import json
from random import Random
from typing import Any

import pytest
from tests.support.dialects import DIALECTS, Dialect
from tests.support.gateway import Harness, RealClock, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, chunk, event, upstream

from pllm.core.record import RequestRecord
from pllm.core.request_trace import MOST_HEARD_BYTES, Conversation, RequestTrace
from pllm.telemetry.content import MOST_BYTES, MOST_CHARACTERS, OMITTED, content_attributes
from pllm.telemetry.otlp_json import Attributes
from pllm.telemetry.spans import Finished, spans_of
from pllm.telemetry.tracing import Request, Tracing

Json = dict[str, Any]
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
ASKED: dict[str, tuple[str, Json]] = {
    "chat": (
        "/v1/chat/completions",
        {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather in Paris?"}],
            "tools": [{"type": "function", "function": TOOL}],
        },
    ),
    "messages": (
        "/v1/messages",
        {
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Weather in Paris?"}],
            "max_tokens": 100,
            "tools": [{"name": TOOL["name"], "input_schema": TOOL["parameters"]}],
        },
    ),
    "responses": (
        "/v1/responses",
        {
            "instructions": "Be brief.",
            "input": "Weather in Paris?",
            "tools": [{"type": "function", **TOOL}],
        },
    ),
}


class Told:
    """An exporter that keeps the spans' attributes."""

    def __init__(self) -> None:
        self.spans: list[Attributes] = []

    def samples(self, parent: bool | None, trace_id: str) -> bool:
        return True

    def add(self, trace: RequestTrace, record: RequestRecord, request: Request) -> None:
        self.spans += [span.attributes for span in spans_of(Finished(trace, record, "POST", "https", request.path, 0.0))]

    def read(self, name: str) -> Any:
        """The one span that has it; None where none has."""
        found = [str(attributes[name]) for attributes in self.spans if name in attributes]
        assert len(found) <= 1
        return json.loads(found[0]) if found else None


def recording(told: Told, *, content: bool = True) -> Tracing:
    return Tracing(Random(5).getrandbits, RealClock(), spans=told, content=content)


async def ask(gw: Harness, client: str, **more: Any) -> None:
    path, body = ASKED[client]
    await gw.client.post(path, content=json.dumps({"model": "m", **body, **more}))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ASKED)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_every_dialect_is_told_alike(dialect: Dialect, client: str, stream: bool) -> None:
    told = Told()
    async with upstream() as up, gateway([dialect.deployment(up)], tracing=recording(told)) as gw:
        up.will(*dialect.stream()) if stream else up.will_answer(dialect.whole)
        await ask(gw, client, stream=stream)
        assert told.read("gen_ai.input.messages") == [
            {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}
        ]
        assert told.read("gen_ai.system_instructions") == [{"type": "text", "content": "Be brief."}]
        (answer,) = told.read("gen_ai.output.messages")
        assert (answer["role"], answer["finish_reason"]) == ("assistant", "tool_call")
        parts = [part for part in answer["parts"] if part["type"] != "reasoning"]
        assert parts[0] == {"type": "text", "content": "Hello"}
        assert parts[1].pop("id")
        assert parts[1:] == [{"type": "tool_call", "name": "get_weather", "arguments": {"city": "Paris"}}]
        assert OMITTED not in told.spans[0]
        assert "Paris" not in json.dumps(gw.lines)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_of_the_clients_own_dialect_is_told_too(stream: bool) -> None:
    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "x",
        "status": "completed",
        "output": [{**said, "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
    }
    told = Told()
    async with upstream() as up, gateway([deployment(up.base_url, dialects=("responses",))], tracing=recording(told)) as gw:
        if stream:
            frames = [{"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}}]
            frames.append({"type": "response.completed", "response": answer})
            up.will_stream(*(f"event: {one['type']}\n".encode() + event(one) for one in frames))
        else:
            up.will_answer(answer)
        await ask(gw, "responses", stream=stream)
    assert told.read("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_legacy_completions_are_told_too(stream: bool) -> None:
    told = Told()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=recording(told)) as gw:
        piece = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
        delta = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in ("Hel", "lo")]
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        if stream:
            up.will_stream(*(event({"choices": [one]}) for one in (*delta, last)), event("[DONE]"))
        else:
            up.will_answer({"choices": [piece]})
        await gw.client.post("/v1/completions", content=json.dumps({"model": "m", "prompt": "Say hello", "stream": stream}))
        assert told.read("gen_ai.input.messages")[0]["parts"] == [{"type": "text", "content": "Say hello"}]
        assert told.read("gen_ai.output.messages") == [
            {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}
        ]


async def test_nothing_that_was_said_is_in_a_span_unless_the_configuration_wants_it() -> None:
    told = Told()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=recording(told, content=False)) as gw:
        up.will_answer({"choices": [{"index": 0, "message": {"content": "secret answer"}, "finish_reason": "stop"}]})
        await ask(gw, "chat")
    assert told.spans
    assert not [name for span in told.spans for name in span if "messages" in name or "instructions" in name]
    assert "Paris" not in str(told.spans)
    assert "secret" not in str(told.spans)


async def test_a_request_that_failed_tells_what_was_asked() -> None:
    told = Told()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=recording(told)) as gw:
        up.will_answer({"error": {"message": "down"}}, 500)
        await ask(gw, "chat")
    assert told.read("gen_ai.input.messages")
    assert told.read("gen_ai.output.messages") is None


async def test_a_broken_stream_is_told_as_far_as_it_came() -> None:
    told = Told()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=recording(told)) as gw:
        piece = event({"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]})
        up.will(STREAM_HEAD, chunk(piece), Cut())
        await ask(gw, "chat", stream=True)
    assert told.read("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "half"}], "finish_reason": "error"}
    ]


def attributes(messages: list[Json], answer: bytes = b"") -> dict[str, str]:
    conversation = Conversation("chat", {"model": "m", "messages": messages})
    if answer:
        conversation.hear(answer)
    return content_attributes(conversation)


def test_media_are_named_and_their_bytes_left_out() -> None:
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    (message,) = json.loads(attributes([{"role": "user", "content": content}])["gen_ai.input.messages"])
    assert message["parts"] == [
        {"type": "text", "content": "What is it?"},
        {"type": "media", "modality": "image", "mime_type": "image/png", "bytes": 5},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
    ]


def test_a_tools_result_is_a_message_of_its_own() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    asked: list[Json] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    assert json.loads(attributes(asked)["gen_ai.input.messages"])[1:] == [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}}]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c1", "response": [{"type": "text", "content": "done"}]}],
        },
    ]


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    (message,) = json.loads(attributes([{"role": "user", "content": "x" * (MOST_CHARACTERS + 7)}])["gen_ai.input.messages"])
    assert message["parts"][0]["content"] == "x" * MOST_CHARACTERS + " [7 more characters]"


def test_of_a_long_conversation_the_last_messages_are_kept() -> None:
    asked = [{"role": "user", "content": f"{number} {'x' * 10_000}"} for number in range(100)]
    told = attributes(asked)["gen_ai.input.messages"]
    kept = json.loads(told)
    assert 0 < len(told) <= MOST_BYTES + 200
    assert [one["parts"][0]["content"].split()[0] for one in kept] == [str(n) for n in range(100 - len(kept), 100)]


def test_what_cannot_be_told_is_named_and_costs_nothing_else() -> None:
    found = attributes([{"role": "nobody", "content": "secret"}], b"this is no answer")
    assert found == {OMITTED: "input: it has no neutral form; output: it has no neutral form"}


def test_an_answer_too_long_to_be_kept_is_named() -> None:
    conversation = Conversation("chat", {"model": "m", "messages": [{"role": "user", "content": "go"}]})
    for _ in range(3):
        conversation.hear(b"x" * (MOST_HEARD_BYTES // 2))
    assert conversation.answered == []
    assert content_attributes(conversation)[OMITTED].startswith("output: ")


def test_where_nothing_was_asked_there_is_nothing_to_tell() -> None:
    assert content_attributes(Conversation()) == {}
