"""Whatever is answered: the stream and the buffered answer are the same, and the official SDK reads both."""

import json
from typing import Any

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from tests.wire.openai_responses.encoded import CONTEXT, TOOL, asked

from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import (
    BlockStop,
    Choice,
    Citation,
    Event,
    Refusal,
    Response,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from pllm.wire.openai_responses import client

_SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_words = st.text(st.characters(codec="utf-8"), max_size=12)
_citations = st.builds(
    Citation,
    url=st.none() | st.just("https://a/b"),
    title=st.none() | _words,
    start=st.none() | st.integers(0, 9),
    end=st.none() | st.integers(0, 9),
    origin=st.just("anthropic"),
)
_texts = st.builds(Text, _words, citations=st.lists(_citations, max_size=2).map(tuple))
_thinking = st.one_of(
    st.builds(Thinking, _words, st.just("SIG"), origin=st.sampled_from(["anthropic", "gemini", "openai"])),
    st.builds(Thinking, st.just(""), redacted=st.just("XX"), origin=st.just("anthropic")),
    st.builds(Thinking, _words, id=st.sampled_from([None, "rs_theirs"])),
)
_calls = st.builds(ToolCall, st.uuids().map(str), st.just("f"), st.sampled_from(["{}", '{"a":1}', '{"t":"\\u00e9"}']))
_responses = st.builds(
    Response,
    st.just("up"),
    st.just("m"),
    st.tuples(
        st.builds(
            Choice,
            st.lists(st.one_of(_texts, st.builds(Refusal, _words), _thinking, _calls), max_size=5).map(tuple),
            st.sampled_from(["stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause"]),
        )
    ),
    st.none() | st.builds(Usage, st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), output=st.integers(0, 99)),
)


@st.composite
def _streams(draw: st.DrawFn) -> list[Event]:
    """The stream of an answer, its texts cut anywhere, its blocks overlapping or not, with or without block ends."""
    with_stops = draw(st.booleans())
    events: list[Event] = []
    for event in unfold(draw(_responses)):
        match event:
            case TextDelta(index, text) if text:
                cut = draw(st.integers(0, len(text)))
                events += [TextDelta(index, text[:cut]), TextDelta(index, text[cut:])]
            case ToolCallDelta(index, fragment):
                cut = draw(st.integers(0, len(fragment)))
                events += [ToolCallDelta(index, fragment[:cut]), ToolCallDelta(index, fragment[cut:])]
            case ThinkingDelta() if event.text and draw(st.booleans()):
                events.append(ThinkingDelta(event.index, event.text, id=event.id))
                events.append(ThinkingDelta(event.index, "", event.signature, None, event.origin))
            case BlockStop() if not with_stops:
                pass
            case _:
                events.append(event)
    return _overlap(draw, events) if not with_stops and draw(st.booleans()) else events


def _overlap(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Deltas moved later, past other blocks' beginnings; the order within a block stays."""
    blocks: dict[int, list[Event]] = {}
    rest: list[Event] = []
    for event in events:
        (blocks.setdefault(event.index, []) if hasattr(event, "index") else rest).append(event)
    mixed: list[Event] = []
    waiting: list[list[Event]] = []
    for block in blocks.values():
        mixed.append(block[0])
        waiting.append(block[1:])
        for queue in waiting:
            count = draw(st.integers(0, len(queue)))
            mixed += queue[:count]
            del queue[:count]
    return [rest[0], *mixed, *(event for queue in waiting for event in queue), *rest[1:]]


@settings(deadline=None, max_examples=150)
@given(_streams())
def test_the_last_event_of_any_stream_holds_the_buffered_answer(events: list[Event]) -> None:
    encoder = client.encoder(asked(tools=[TOOL]), CONTEXT)
    written = encoder.feed(events)
    last = json.loads(written.rstrip().rsplit(b"\ndata: ", 1)[1])
    buffered = json.loads(client.encode(fold(events), asked(tools=[TOOL]), CONTEXT))
    assert last["response"] == buffered
    assert encoder.response == buffered


@settings(deadline=None, max_examples=40)
@given(_streams())
def test_the_official_sdk_accumulates_any_stream_to_the_buffered_answer(events: list[Event]) -> None:
    written = client.encoder(asked(), CONTEXT).feed(events)
    for block in written.split(b"\n\n")[:-1]:
        _SDK_EVENT.validate_json(block.split(b"\ndata: ", 1)[1], strict=True)
    with _sdk(written).responses.stream(model="m", input="Hi") as live:
        seen = list(live)
    last = seen[-1]
    assert last.type in ("response.completed", "response.incomplete")
    buffered = json.loads(client.encode(fold(events), asked(), CONTEXT))
    assert _without_parsed(last.response.to_dict()) == _without_parsed(SdkResponse.model_validate(buffered).to_dict())
    _check_deltas(seen, buffered["output"])


@settings(deadline=None, max_examples=40)
@given(_responses)
def test_every_buffered_answer_is_a_response_of_the_sdk_strictly(response: Response) -> None:
    SdkResponse.model_validate_json(client.encode(response, asked(), CONTEXT), strict=True)


class _Replay(httpx2.BaseTransport):
    """A server whose next answer is set from outside, so that one SDK client serves every example."""

    stream = b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)


_REPLAY = _Replay()
_SDK = OpenAI(api_key="unused", base_url="http://gateway/v1", http_client=httpx2.Client(transport=_REPLAY))


def _sdk(stream: bytes) -> OpenAI:
    _REPLAY.stream = stream
    return _SDK


def _without_parsed(value: Any) -> Any:
    """Less what the SDK adds of its own."""
    if isinstance(value, dict):
        return {key: _without_parsed(item) for key, item in value.items() if key not in ("parsed", "parsed_arguments")}
    return [_without_parsed(item) for item in value] if isinstance(value, list) else value


def _check_deltas(seen: list[Any], output: list[dict[str, Any]]) -> None:
    """The deltas, joined by part and by call, are what the final object says."""
    said: dict[tuple[int, int], str] = {}
    for event in seen:
        if event.type.endswith((".delta",)):
            place = (event.output_index, getattr(event, "content_index", 0))
            said[place] = said.get(place, "") + event.delta
    for number, item in enumerate(output):
        match item["type"]:
            case "function_call":
                assert said[number, 0] == item["arguments"]
            case "message":
                for position, part in enumerate(item["content"]):
                    assert said.get((number, position), "") == part.get("text", part.get("refusal"))
            case "reasoning":
                assert said.get((number, 0), "") == "".join(part["text"] for part in item["summary"])
