"""The same-dialect lane: named edits only, answers and events as received, every fault explicit."""

import copy
import json
from typing import Any

import pytest
from tests.wire.anthropic_messages.judge import BUDGET, ENCODED, decode_stream, sse, target, vertex

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages import MessagesLane, upstream
from pllm.wire.anthropic_messages.seal import Sealed, seal
from pllm.wire.folding import fold
from pllm.wire.lane import Lane, Quirks, Relay, Target
from pllm.wire.neutral import Failure
from pllm.wire.sse import MAX_EVENT_BYTES

BODY: JsonObject = {
    "model": "claude",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "novel": 1}],
    "messages": [{"role": "user", "content": [{"type": "novel_block", "x": [1, 2]}]}],
    "context_management": {"edits": []},
    "novel_field": {"deep": None},
    "stream": True,
}


def sent(body: JsonObject, to: Target | None = None) -> JsonObject:
    parsed = json.loads(MessagesLane(body, to or target()).request.body)
    assert isinstance(parsed, dict)
    return parsed


def plain(**fields: Any) -> JsonObject:
    return {"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **fields}


def refused(body: JsonObject, to: Target | None = None) -> str | None:
    with pytest.raises(GatewayError) as caught:
        MessagesLane(body, to or target())
    assert caught.value.status == 400
    return caught.value.param


def test_only_the_model_changes_and_unknown_fields_survive_in_their_order() -> None:
    before = copy.deepcopy(BODY)
    lane: Lane = MessagesLane(BODY, target())
    assert before == BODY
    expected = {**BODY, "model": "claude-upstream"}
    assert json.loads(lane.request.body) == expected
    assert list(json.loads(lane.request.body)) == list(BODY)
    assert (lane.request.path, lane.request.stream, lane.dropped, lane.emulated) == ("messages", True, (), ())


def test_a_provider_that_names_the_model_in_the_address_gets_its_version_in_the_body() -> None:
    body = sent(plain(), vertex())
    assert "model" not in body and body["anthropic_version"] == "vertex-2023-10-16"


def test_defaults_fill_what_the_client_left_open_in_anthropics_words() -> None:
    defaults = {
        "temperature": 1.4,
        "max_completion_tokens": 50,
        "stop": "END",
        "user": "u",
        "service_tier": "default",
        "speed": "fast",
        "seed": 3,
    }
    lane = MessagesLane({"model": "claude", "messages": []}, target(defaults=defaults))
    assert json.loads(lane.request.body) == {
        "model": "claude-upstream",
        "messages": [],
        "temperature": 1.0,
        "max_tokens": 50,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "speed": "fast",
    }
    assert lane.dropped == ("seed",)
    assert sent(plain(temperature=0.1), target(defaults=defaults))["temperature"] == 0.1


def test_case_11_a_default_effort_asks_for_thinking_where_the_client_said_nothing_of_it() -> None:
    to = target(BUDGET, defaults={"reasoning_effort": "low"})
    body = sent(plain(max_tokens=8000), to)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048} and body["max_tokens"] == 8000
    adaptive = sent(plain(), target(ModelProfile(thinking="adaptive"), defaults={"reasoning_effort": "low"}))
    assert (adaptive["thinking"], adaptive["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})
    for said in ({"thinking": {"type": "disabled"}}, {"temperature": 0.2}, {"tool_choice": {"type": "any"}}):
        assert sent(plain(**said), to).get("thinking") in (None, {"type": "disabled"})


def test_case_24_mandatory_max_tokens_is_filled_and_kept_within_the_models_limit() -> None:
    limited = target(ModelProfile(max_output_tokens=5000))
    assert sent({"model": "claude", "messages": []}, limited)["max_tokens"] == 5000
    lane = MessagesLane(plain(max_tokens=6000), limited)
    assert json.loads(lane.request.body)["max_tokens"] == 5000 and lane.emulated == ("max_tokens",)


def test_case_23_refused_fields_are_a_400_or_dropped_by_name() -> None:
    strict = Quirks(refused=frozenset({"service_tier"}))
    assert refused(plain(service_tier="auto"), target(quirks=strict)) == "service_tier"
    lane = MessagesLane(plain(service_tier="auto"), target(quirks=strict, drop_unsupported=True))
    assert "service_tier" not in json.loads(lane.request.body) and lane.dropped == ("service_tier",)
    assert "service_tier" not in sent(plain(service_tier=None), target(quirks=strict))


def test_case_10_other_providers_thinking_does_not_reach_anthropic() -> None:
    own = {"type": "thinking", "thinking": "a", "signature": "sig"}
    foreign = {"type": "thinking", "thinking": "b", "signature": seal(Sealed("signature", "gemini", "x"))}
    bare = {"type": "thinking", "thinking": "c", "signature": ""}
    words = {"type": "text", "text": "d"}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [own, foreign, bare, words]},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": [foreign]},
    ]
    lane = MessagesLane(plain(messages=messages), target())
    kept = {"role": "assistant", "content": [own, words]}
    assert json.loads(lane.request.body)["messages"] == [messages[0], kept, messages[2]]
    assert lane.dropped == ("messages[1].thinking", "messages[3].thinking")


@pytest.mark.parametrize(
    ("body", "path"), [({"messages": []}, "model"), ({"model": "c"}, "messages"), (plain(stream="yes"), "stream")]
)
def test_what_the_gateway_relies_on_is_checked(body: JsonObject, path: str) -> None:
    assert refused(body) == path


# --- Answers ----------------------------------------------------------------------------------------------------------

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-upstream",
    "content": [{"type": "text", "text": "x", "novel": 1}],
    "stop_reason": "max_tokens",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def test_a_buffered_answer_is_passed_on_as_received_and_metered() -> None:
    raw = json.dumps(ANSWER, indent=2).encode()
    answer = MessagesLane(plain(), target()).answer(raw, "application/json")
    assert (answer.body, answer.finish) == (raw, "length")
    assert answer.usage is not None and (answer.usage.input, answer.usage.output) == (3, 4)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"<html>", ErrorKind.UPSTREAM_PROTOCOL),
        (b"{}", ErrorKind.UPSTREAM_PROTOCOL),
        (b'{"content":[]}', ErrorKind.UPSTREAM_PROTOCOL),
        (b'{"content":[],"stop_reason":null}', ErrorKind.UPSTREAM_PROTOCOL),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', ErrorKind.UPSTREAM_OVERLOADED),
    ],
)
def test_what_is_not_an_answer_is_the_providers_fault(raw: bytes, kind: ErrorKind) -> None:
    with pytest.raises(GatewayError) as caught:
        MessagesLane(plain(), target()).answer(raw, "application/json")
    assert caught.value.kind is kind
    with pytest.raises(GatewayError):
        upstream.decode(raw, ENCODED)


def test_an_error_answer_is_classed() -> None:
    assert MessagesLane(plain(), target()).error(529, {}, b"").kind is ErrorKind.UPSTREAM_OVERLOADED


# --- Streams ------------------------------------------------------------------------------------------------------------

EVENTS: list[dict[str, Any]] = [
    {"type": "ping"},
    {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hé"}},
    {"type": "novelty", "x": 1},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
STREAM = sse(*EVENTS)


def relay() -> Relay:
    return MessagesLane(plain(stream=True), target()).relay()


def state(passing: Relay) -> tuple[bool, bool]:
    return passing.opened, passing.finished


def tokens(passing: Relay) -> tuple[int, int] | None:
    return (passing.usage.input, passing.usage.output) if passing.usage else None


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_events_are_passed_on_byte_for_byte_while_they_are_read(size: int) -> None:
    passing = relay()
    passed = b"".join(passing.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size)) + passing.close()
    assert passed == STREAM
    assert passing.opened and passing.finished and passing.error is None and passing.finish == "stop"
    assert passing.usage == fold(decode_stream(STREAM)).usage


def test_the_status_is_committed_by_message_start_and_not_by_a_ping() -> None:
    passing = relay()
    assert passing.feed(sse(EVENTS[0])) == sse(EVENTS[0])
    assert state(passing) == (False, False)
    passing.feed(sse(EVENTS[1]))
    assert state(passing) == (True, False)


def test_nothing_follows_the_end() -> None:
    passing = relay()
    assert passing.feed(STREAM + sse(EVENTS[3])) == STREAM
    assert passing.feed(sse(EVENTS[3])) == b"" == passing.close()


@pytest.mark.parametrize("at", range(len(EVENTS)))
def test_case_18_a_stream_cut_anywhere_is_an_error_and_what_came_before_was_passed_on(at: int) -> None:
    passing = relay()
    assert passing.feed(sse(*EVENTS[:at])) + passing.close() == sse(*EVENTS[:at])
    assert passing.error is not None and passing.error.kind is ErrorKind.STREAM_BROKEN and not passing.finished
    assert passing.opened is (at > 1)


@pytest.mark.parametrize("at", range(len(EVENTS)))
@pytest.mark.parametrize("bad", [b"data: {\n\n", b"event: x\ndata: []\n\n", b"data: \xff\n\n"])
def test_case_18_a_malformed_event_anywhere_is_an_error_and_not_passed_on(at: int, bad: bytes) -> None:
    passing = relay()
    assert passing.feed(sse(*EVENTS[:at]) + bad + sse(*EVENTS[at:])) == sse(*EVENTS[:at])
    assert passing.error is not None and passing.error.kind is ErrorKind.UPSTREAM_PROTOCOL
    assert passing.feed(STREAM) == b"" == passing.close()


@pytest.mark.parametrize("at", range(len(EVENTS)))
def test_case_17_an_error_event_anywhere_is_the_error_it_reports_and_not_passed_on(at: int) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    passing = relay()
    assert passing.feed(sse(*EVENTS[:at], error, *EVENTS[at:])) == sse(*EVENTS[:at])
    assert passing.error is not None
    assert (passing.error.kind, passing.error.message) == (ErrorKind.RATE_LIMITED, "Slow down")
    assert not passing.finished


@pytest.mark.parametrize("events", [EVENTS[2:], EVENTS[-1:], [EVENTS[1], EVENTS[-1]], [EVENTS[6]]])
def test_case_18_an_end_that_nothing_led_to_is_no_end(events: list[dict[str, Any]]) -> None:
    passing = relay()
    passing.feed(sse(*events))
    passing.close()
    assert passing.error is not None and not passing.finished


def test_case_15_usage_is_known_at_any_moment() -> None:
    passing = relay()
    assert tokens(passing) is None
    passing.feed(sse(*EVENTS[:2]))
    assert tokens(passing) == (9, 1)
    passing.feed(sse(*EVENTS[2:]))
    assert tokens(passing) == (9, 5)


def test_case_18_an_event_without_end_is_refused_rather_than_kept_for_ever() -> None:
    endless = b"data: " + b"x" * (MAX_EVENT_BYTES + 1)
    passing = relay()
    assert passing.feed(endless) == b""
    assert passing.error is not None and passing.error.kind is ErrorKind.UPSTREAM_PROTOCOL
    assert isinstance(decode_stream(endless, len(endless))[-1], Failure)


def test_case_17_a_broken_stream_ends_in_anthropics_error_event() -> None:
    assert relay().fail(broken_stream("it was cut")) == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error",'
        b'"message":"The provider\'s stream broke: it was cut."}}\n\n'
    )
