"""The same-dialect lane's streams: passed as received, metered, and never ended well when they were cut."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.openai_chat.lanes import DONE, events, lane, play, sent

from pllm.core.errors import ErrorKind
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import Quirks, Target


def chunk(delta: JsonObject | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **fields}
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
USAGE_CHUNK = chunk(usage=USAGE, choices=[])
WHOLE = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), chunk({}, "stop"), USAGE_CHUNK, DONE)


# --- Usage (case 16) ------------------------------------------------------------------------------------------------


def test_case_16_usage_is_asked_for_upstream_whatever_the_client_said() -> None:
    for options in (None, {}, {"include_usage": False}, {"include_usage": True, "include_obfuscation": False}):
        made = sent(lane(stream=True, stream_options=options))
        assert made["stream_options"] == {**(options or {}), "include_usage": True}
    assert "stream_options" not in sent(lane())


def test_case_16_a_provider_that_cannot_be_asked_is_not_asked() -> None:
    target = Target("m", "p", "mistral", quirks=Quirks(stream_usage=False))
    assert "stream_options" not in sent(lane(target=target, stream=True, stream_options={"include_usage": True}))


def test_case_16_a_client_that_did_not_ask_sees_no_usage_while_we_meter() -> None:
    relay = lane(stream=True).relay()
    spaced = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"x, \\"usage\\":null"}}], "usage": null}\n\n'
    tight = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"\\",\\"usage\\":null"}}],"usage":null,"pad":1}\n\n'
    out = play(relay, WHOLE[0] + spaced + tight + b"".join(WHOLE[1:]))
    assert relay.usage is not None
    assert (relay.usage.prompt, relay.usage.output) == (7, 2)
    assert all("usage" not in event and event["choices"] for event in events(out))
    assert [e["choices"][0]["delta"].get("content") for e in events(out)][1:3] == ['x, "usage":null', '","usage":null']
    assert events(out)[2]["pad"] == 1
    assert out.endswith(DONE)


def test_case_16_a_client_that_asked_gets_everything_as_it_came() -> None:
    stream = b"".join((chunk({"content": "x"}, usage=None), chunk({}, "stop", usage=None), USAGE_CHUNK, DONE))
    relay = lane(stream=True, stream_options={"include_usage": True}).relay()
    assert play(relay, stream) == stream


def test_case_16_usage_on_a_chunk_with_choices_becomes_the_last_chunk_for_those_who_asked() -> None:
    stream = chunk({"content": "x"}) + chunk({}, "stop", usage=USAGE) + DONE
    out = play(lane(stream=True, stream_options={"include_usage": True}).relay(), stream)
    *earlier, last = events(out)
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all(event.get("usage") is None for event in earlier)


def test_case_16_azures_chunk_with_empty_choices_is_not_mistaken_for_usage() -> None:
    filters = chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}])
    assert events(play(lane(stream=True).relay(), filters + b"".join(WHOLE)))[0]["prompt_filter_results"]


# --- The stream -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40))
def test_a_stream_is_forwarded_as_received_at_any_chunk_boundary(size: int) -> None:
    relay = lane(stream=True).relay()
    stream = b": OPENROUTER PROCESSING\n\n" + b"".join(WHOLE)
    assert play(relay, stream, size) == b": OPENROUTER PROCESSING\n\n" + b"".join((*WHOLE[:3], DONE))
    assert (relay.opened, relay.finished, relay.error, relay.finish) == (True, True, None, "stop")


def test_comments_pass_and_open_nothing() -> None:
    relay = lane(stream=True).relay()
    assert relay.feed(b": OPENROUTER PROCESSING\n\n: keep-alive\n\n") == b": OPENROUTER PROCESSING\n\n: keep-alive\n\n"
    assert not relay.opened
    relay.feed(WHOLE[0])
    assert relay.opened


def test_nothing_after_the_end_marker_reaches_the_client() -> None:
    relay = lane(stream=True).relay()
    out = play(relay, b"".join(WHOLE) + chunk({"content": "late"}) + b"data: {broken")
    assert out.endswith(DONE)
    assert b"late" not in out
    assert relay.error is None


def test_an_end_marker_without_its_blank_line_still_ends_the_stream() -> None:
    relay = lane(stream=True).relay()
    assert play(relay, b"".join(WHOLE[:-1]) + b"data: [DONE]\n").endswith(DONE)
    assert relay.finished


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_case_18_a_cut_at_every_position_is_an_error_and_never_a_clean_end(cut: int) -> None:
    whole = b"".join(WHOLE)
    edge = len(b"".join(WHOLE[:cut]))
    for position in {edge, edge + 1, edge + 9, edge + len(WHOLE[cut]) - 3}:
        if whole[:position].rstrip().endswith(b"[DONE]"):
            continue
        relay = lane(stream=True).relay()
        out = play(relay, whole[:position])
        assert relay.error is not None, position
        assert relay.error.kind is ErrorKind.STREAM_BROKEN
        assert b"[DONE]" not in out
        assert not relay.finished


@pytest.mark.parametrize("at", range(len(WHOLE)))
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"data: {broken\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b"data: [1]\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"choices": {}}\n\n', ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"choices": [3]}\n\n', ErrorKind.UPSTREAM_PROTOCOL),
        (b"data: \xff\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b"<html>\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n', ErrorKind.UPSTREAM_ERROR),
        (b'data: {"error": {"message": "slow down", "code": 429}}\n\n', ErrorKind.RATE_LIMITED),
        (b'event: error\ndata: {"message": "overloaded", "type": "overloaded_error"}\n\n', ErrorKind.UPSTREAM_OVERLOADED),
        (b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}\n\n', ErrorKind.UPSTREAM_ERROR),
    ],
)
def test_case_18_a_bad_event_at_every_position_is_an_error(at: int, event: bytes, kind: ErrorKind) -> None:
    relay = lane(stream=True).relay()
    out = play(relay, b"".join((*WHOLE[:at], event, *WHOLE[at:])))
    assert relay.error is not None
    assert relay.error.kind is kind
    assert relay.opened is (at > 0)
    assert b"[DONE]" not in out
    assert relay.feed(chunk({"content": "more"})) == relay.close() == b""
    last = events(relay.fail(relay.error))
    assert last[0]["error"]["message"] == relay.error.message


def test_case_18_an_end_marker_without_a_finish_reason_or_usage_is_a_break() -> None:
    for stream in (DONE, WHOLE[0] + DONE, chunk({"content": "x"}, index=0) + DONE):
        relay = lane(stream=True).relay()
        assert DONE not in play(relay, stream)
        assert relay.error is not None


def test_case_18_each_of_several_choices_must_have_finished() -> None:
    second = chunk(choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": None}])
    relay = lane(stream=True, n=2).relay()
    play(relay, WHOLE[0] + second + chunk({}, "stop") + DONE)
    assert relay.error is not None


def test_a_provider_known_to_send_no_end_marker_is_whole_once_all_choices_finished() -> None:
    target = Target("m", "p", "p", quirks=Quirks(done_marker=False))
    relay = lane(target=target, stream=True).relay()
    assert play(relay, WHOLE[0] + chunk({}, "stop")).endswith(DONE)
    assert relay.finished
    cut = lane(target=target, stream=True).relay()
    assert DONE not in play(cut, WHOLE[0] + chunk({}, "stop") + b"data: {")
    assert cut.error is not None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html>\n\n<html>data: x</html>", "HTML"),
        (b"<html><body>Bad gateway</body></html>", "HTML"),
        (b'{"id": "c1", "choices": []}', "JSON"),
        (b"upstream connect error", "event stream"),
        (b"", "closed"),
    ],
)
def test_an_answer_that_is_no_event_stream_is_an_error_before_anything_was_sent(body: bytes, words: str) -> None:
    relay = lane(stream=True).relay()
    assert play(relay, body) == b""
    assert relay.error is not None
    assert words in relay.error.message
    assert not relay.opened


def test_an_error_object_where_a_stream_was_asked_for_keeps_its_meaning() -> None:
    relay = lane(stream=True).relay()
    play(relay, b'{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}')
    assert relay.error is not None
    assert relay.error.kind is ErrorKind.RATE_LIMITED
