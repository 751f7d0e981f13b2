"""What a stream is charged that broke: recorded streams of every dialect, cut after each of their events.

The figures that they are held to are read from the recordings' bytes, not by the code that is tested.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from tests.wire.anthropic_messages import recordings as messages
from tests.wire.bedrock_converse import recordings as converse
from tests.wire.gemini import recordings as gemini
from tests.wire.openai_chat import recordings as chat

from pllm.call import Call
from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile, Prices, ThinkingStyle
from pllm.core.record import RequestRecord
from pllm.estimating import most_of, note_estimate, size_of
from pllm.relay import note_usage
from pllm.wire.anthropic_messages.lane import MessagesRelay
from pllm.wire.lane import AnswerContext, Relay, Target
from pllm.wire.lanes import client_wire, upstream_wire
from pllm.wire.openai_chat.relay import ChatRelay
from pllm.wire.openai_responses.relay import ResponsesRelay
from pllm.wire.produced import Produced
from pllm.wire.translated import translated_lane

pytestmark = pytest.mark.needs_cassettes

MAX_TOKENS = 60_000
PRICES = Prices(input=3_000_000, output=15_000_000, cache_read=300_000, cache_write_5m=3_750_000, cache_write_1h=6_000_000)
BODY = {"model": "m", "max_tokens": MAX_TOKENS, "stream": True, "messages": [{"role": "user", "content": "x" * 4_000}]}

_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|outputTokens|candidatesTokenCount|thoughtsTokenCount)"\s*:\s*(\d+)')
_REASONING = re.compile(rb'"(?:reasoning_tokens|thinking_tokens|thoughtsTokenCount)"\s*:\s*[1-9]')


def call() -> Call:
    return Call("chat", "m", BODY, True, RequestRecord("r", "chat", 0.0))


def deployment(thinking: ThinkingStyle = "none") -> Deployment:
    profile = ModelProfile(thinking=thinking, prices=PRICES, known=True)
    return Deployment("d", "m", "openai", "x", ("chat",), profile=profile)


def charged(relay: Relay, thinking: ThinkingStyle) -> RequestRecord:
    """What a request comes to whose stream breaks here."""
    asked = call()
    asked.record.prices = PRICES
    assert relay.produced is not None
    note_usage(asked.record, relay.usage, relay.finish)
    note_estimate(asked.record, asked, deployment(thinking), relay.usage, relay.produced)
    return asked.record


def told(event: bytes) -> int:
    """The output that one event tells: Gemini's two counts add up, elsewhere the largest is the whole (but for what another
    model did for this one)."""
    event = event.partition(b'"iterations"')[0]
    counts = [int(count) for count in _OUTPUT.findall(event)]
    return sum(counts[:2]) if b"candidatesTokenCount" in event or b"thoughtsTokenCount" in event else max(counts, default=0)


def translated(dialect: str) -> Relay:
    profile = ModelProfile(known=True)
    request = client_wire("chat").decode({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True})
    target = Target("x", "m", "bedrock", profile)
    return translated_lane(
        client_wire("chat"), upstream_wire(dialect), request, target, AnswerContext("m", 1, "0" * 24)
    ).relay()


def check(relay: Relay, events: Sequence[bytes]) -> int:
    """Cuts a stream after each event; gives how many cuts were looked at."""
    thinks: ThinkingStyle = "effort" if any(_REASONING.search(event) for event in events) else "none"
    final = max(map(told, events), default=0)
    last = max((number for number, event in enumerate(events) if told(event)), default=len(events))
    known = looked = 0
    for number, event in enumerate(events):
        relay.feed(event)
        if relay.error is not None or relay.finished:
            break
        known, looked = max(known, told(event)), looked + 1
        record = charged(relay, thinks)
        assert known <= record.completion_tokens <= max(MAX_TOKENS, known), (number, event)
        assert record.cost_micro_usd is not None
        assert record.cost_micro_usd <= MOST_MICRO_USD + 15 * known
        if number == last - 1:  # all has been shown, and nothing of it was told
            assert record.completion_tokens >= final, (record.completion_tokens, final)
            assert record.estimated
    return looked


_MOST = most_of(call(), size_of(call()), deployment())
MOST_MICRO_USD = _MOST.prompt * 6 + _MOST.answer * 15 + 1_000_000  # a recording's own prompt may be larger


def lines(body: bytes) -> list[bytes]:
    return [block + b"\n\n" for block in body.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]


def frames(body: bytes) -> Iterator[bytes]:
    while body:
        size = int.from_bytes(body[:4])
        yield body[:size]
        body = body[size:]


def test_chat_streams_are_charged_at_least_what_they_used() -> None:
    looked = [check(ChatRelay(usage_asked=True, usage_forced=False), lines(one.body)) for one in chat.STREAMS]
    assert sum(looked) > 1_000


def test_messages_streams_are_charged_at_least_what_they_used() -> None:
    looked = [check(MessagesRelay(), lines(one.body)) for one in messages.STREAMS]
    assert sum(looked) > 500


def test_responses_streams_are_charged_at_least_what_they_used() -> None:
    bodies = [
        str(exchange["response"]["text"]).encode()
        for path in sorted((chat.FOLDER / "openai-responses").glob("*.json"))
        for exchange in json.loads(path.read_text())["interactions"]
        if "event: response.created" in str(exchange["response"].get("text", ""))
    ]
    assert sum(check(ResponsesRelay(), lines(body)) for body in bodies) > 500


def test_gemini_streams_are_charged_at_least_what_they_used() -> None:
    assert sum(check(translated("gemini"), lines(one.body)) for one in gemini.STREAMS) > 30


def test_converse_streams_are_charged_at_least_what_they_used() -> None:
    streams = [one for one in converse.recordings() if one.stream and one.status == 200]
    assert sum(check(translated("converse"), list(frames(one.body))) for one in streams) > 50


# --- The rules one by one ------------------------------------------------------------------------------------------


def event(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def chat_relay(*events: bytes) -> ChatRelay:
    relay = ChatRelay(usage_asked=True, usage_forced=False)
    for one in events:
        relay.feed(one)
    return relay


def test_what_was_shown_is_charged_with_a_byte_for_a_token() -> None:
    record = charged(chat_relay(event(role="assistant", content=""), event(content="four"), event(content="ä")), "none")
    assert record.completion_tokens == (4 + 1) + (2 + 1) + 32
    assert record.prompt_tokens == _MOST.prompt
    assert record.cost_micro_usd == 3 * _MOST.prompt + 15 * (8 + 32)
    assert record.estimated


def test_a_model_that_thinks_in_private_is_charged_what_was_set_aside() -> None:
    assert charged(chat_relay(event(content="four")), "effort").completion_tokens == MAX_TOKENS
    assert (
        charged(chat_relay(event(reasoning_details=[{"data": "x"}]), event(content="four")), "none").completion_tokens
        == MAX_TOKENS
    )


def test_thinking_that_is_shown_is_counted_like_the_answer() -> None:
    relay = chat_relay(event(reasoning_content="because"), event(content="four"))
    assert charged(relay, "effort").completion_tokens == 8 + 5 + 32


def test_never_more_is_charged_than_was_set_aside() -> None:
    assert charged(chat_relay(event(content="x" * 100_000)), "none").completion_tokens == MAX_TOKENS


def test_running_totals_count_as_far_as_they_go() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
    running = (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "four"}}], "usage": usage}).encode() + b"\n\n"
    )
    record = charged(chat_relay(running), "effort")
    assert (record.prompt_tokens, record.completion_tokens, record.estimated) == (11, 2 + 32, True)
    record = charged(chat_relay(running, event(content="four")), "none")
    assert (record.prompt_tokens, record.completion_tokens, record.estimated) == (11, 2 + 5 + 32, True)


def test_what_was_told_at_the_end_stands_when_only_the_end_marker_is_missing() -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}}
    record = charged(
        chat_relay(event(content="four"), *(b"data: " + json.dumps(one).encode() + b"\n\n" for one in (end, usage))), "effort"
    )
    assert (record.prompt_tokens, record.completion_tokens, record.estimated) == (11, 2, False)


def test_totals_that_stay_at_zero_until_the_end_tell_nothing() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 0, "total_tokens": 11}
    running = (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "four"}}], "usage": usage}).encode() + b"\n\n"
    )
    assert charged(chat_relay(running, running), "none").completion_tokens == 10 + 32


def test_hidden_thinking_is_charged_at_the_price_of_thinking() -> None:
    asked, dear = call(), replace(PRICES, reasoning=60_000_000)
    place = deployment("effort")
    asked.record.prices = dear
    note_estimate(asked.record, asked, replace(place, profile=replace(place.profile, prices=dear)), None, Produced())
    assert asked.record.cost_micro_usd == 3 * _MOST.prompt + 60 * MAX_TOKENS
