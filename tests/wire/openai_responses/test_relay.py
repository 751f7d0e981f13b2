import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI

from pllm.core.errors import ErrorKind, broken_stream
from pllm.wire.neutral import Usage
from pllm.wire.openai_responses.relay import ResponsesRelay

Events = Callable[[bytes], list[dict[str, Any]]]

RESPONSE: dict[str, Any] = {
    "id": "resp_up",
    "object": "response",
    "created_at": 1,
    "status": "in_progress",
    "model": "m",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
}
USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 15,
}
COMPLETED = {**RESPONSE, "status": "completed", "output": [MESSAGE], "usage": USAGE}


def frame(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


FRAMES = [
    frame("response.created", sequence_number=0, response=RESPONSE),
    frame("response.in_progress", sequence_number=1, response=RESPONSE),
    frame("response.output_item.added", sequence_number=2, output_index=0, item={**MESSAGE, "content": []}),
    frame("response.output_text.delta", sequence_number=3, item_id="msg_1", output_index=0, content_index=0, delta="Hé"),
    frame("response.output_text.delta", sequence_number=4, item_id="msg_1", output_index=0, content_index=0, delta="llo"),
    frame("response.output_item.done", sequence_number=5, output_index=0, item=MESSAGE),
    frame("response.completed", sequence_number=6, response=COMPLETED),
]
WHOLE = b"".join(FRAMES)


def test_a_whole_stream_passes_byte_for_byte_and_is_understood() -> None:
    relay = ResponsesRelay()
    assert relay.feed(WHOLE) == WHOLE
    assert (relay.opened, relay.finished, relay.error) == (True, True, None)
    assert relay.finish == "stop"
    assert relay.usage == Usage(input=8, cache_read=4, output=3, reasoning=1, raw=USAGE)
    assert relay.response == COMPLETED
    assert relay.close() == b""
    assert relay.error is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_chunk_boundaries_make_no_difference(cuts: list[int]) -> None:
    relay = ResponsesRelay()
    edges = [0, *sorted(cuts), len(WHOLE)]
    passed = b"".join(relay.feed(WHOLE[a:b]) for a, b in pairwise(edges))
    assert passed == WHOLE
    assert relay.finished


def test_case_17_what_only_says_that_the_request_was_taken_is_held_back() -> None:
    relay = ResponsesRelay()
    assert relay.feed(FRAMES[0] + FRAMES[1]) == b""
    assert not relay.opened
    assert relay.feed(FRAMES[2]) == FRAMES[0] + FRAMES[1] + FRAMES[2]
    assert relay.opened


def test_case_17_an_exhausted_quota_right_after_the_start_leaves_nothing_sent() -> None:
    error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "Pay.", "param": None}
    relay = ResponsesRelay()
    assert relay.feed(FRAMES[0] + FRAMES[1] + frame("error", sequence_number=2, error=error)) == b""
    assert not relay.opened
    assert relay.error is not None
    assert (relay.error.status, relay.error.retryable, relay.error.code) == (429, True, "insufficient_quota")


def test_a_completed_stream_without_output_opens_with_its_end() -> None:
    relay = ResponsesRelay()
    assert relay.feed(FRAMES[0] + FRAMES[6]) == FRAMES[0] + FRAMES[6]
    assert relay.opened
    assert relay.finished


def test_comments_and_unknown_events_pass_as_they_are() -> None:
    odd = [b": keep-alive\n\n", frame("response.something_new.delta", delta={"a": [1]}), b'id: 7\ndata: {"type":"x.y"}\n\n']
    relay = ResponsesRelay()
    stream = b"".join([FRAMES[0], *odd, FRAMES[6]])
    assert relay.feed(stream) == stream
    assert relay.finished


def test_events_without_names_are_understood_by_their_type() -> None:
    bare = b"".join(frame.split(b"\n", 1)[1] for frame in FRAMES)
    relay = ResponsesRelay()
    assert relay.feed(bare) == bare
    assert relay.finished


def test_crlf_is_normalised() -> None:
    relay = ResponsesRelay()
    assert relay.feed(WHOLE.replace(b"\n", b"\r\n")) == WHOLE


def test_a_last_event_without_its_blank_line_still_counts() -> None:
    relay = ResponsesRelay()
    passed = relay.feed(WHOLE[:-1]) + relay.close()
    assert passed == WHOLE
    assert relay.finished


def test_a_large_event_that_concerns_nobody_passes_unparsed() -> None:
    big = frame("response.image_generation_call.partial_image", partial_image_b64="A" * 100_000)
    relay = ResponsesRelay()
    stream = FRAMES[0] + big + FRAMES[6]
    assert relay.feed(stream) == stream


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
        ("incomplete", None, "length"),
    ],
)
def test_case_13_an_incomplete_answer_is_whole_and_says_why(status: str, details: Any, finish: str) -> None:
    relay = ResponsesRelay()
    end = frame("response.incomplete", response={**COMPLETED, "status": status, "incomplete_details": details})
    assert relay.feed(FRAMES[0] + end) == FRAMES[0] + end
    assert (relay.finished, relay.finish) == (True, finish)


def test_case_13_an_answer_with_calls_finished_for_them() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    relay = ResponsesRelay()
    relay.feed(FRAMES[0] + frame("response.completed", response={**COMPLETED, "output": [MESSAGE, call]}))
    assert relay.finish == "tool_calls"


# --- Faults at every position (case 18) ----------------------------------------------------------------------------


POSITIONS = range(len(FRAMES))


def broken(relay: ResponsesRelay) -> None:
    assert relay.error is not None
    assert not relay.finished
    assert relay.feed(WHOLE) == b""
    assert relay.close() == b""


@pytest.mark.parametrize("kept", POSITIONS)
def test_case_18_a_stream_cut_between_events_is_broken(kept: int) -> None:
    relay = ResponsesRelay()
    relay.feed(b"".join(FRAMES[:kept]))
    relay.close()
    broken(relay)
    assert relay.error is not None
    assert relay.error.kind is ErrorKind.STREAM_BROKEN


def test_case_18_a_stream_cut_at_any_byte_is_broken_and_passes_only_whole_events() -> None:
    last_event = len(WHOLE) - len(b"}\n\n")
    for cut in range(last_event):
        relay = ResponsesRelay()
        passed = relay.feed(WHOLE[:cut])
        passed += relay.close()
        assert relay.error is not None, cut
        assert not relay.finished
        assert WHOLE.startswith(passed)
        assert passed == b"" or passed.endswith(b"\n\n")


MALFORMED = [
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"\n\n',
    b"event: response.output_text.delta\ndata: {oops}\n\n",
    b"data: null\n\n",
    b"data: [DONE]\n\n",
    b"data: <html>502 Bad Gateway</html>\n\n",
    b"data: {}\n\n",
    b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
    b"event: response.image_generation_call.partial_image\ndata: " + b"A" * 40_000 + b"\n\n",
    b"\xff\xfe: data\ndata: \xff\n\n",
    b"<!doctype html>\n<html>502</html>\n\n",
    b'{"id":"resp_1","object":"response"}\n\n',
]


@pytest.mark.parametrize("fault", MALFORMED)
@pytest.mark.parametrize("position", POSITIONS)
def test_case_18_a_malformed_event_anywhere_breaks_the_stream(position: int, fault: bytes) -> None:
    relay = ResponsesRelay()
    passed = relay.feed(b"".join(FRAMES[:position]) + fault + b"".join(FRAMES[position:]))
    broken(relay)
    assert fault not in passed


REPORTED = [
    frame("error", sequence_number=9, code="server_error", message="Sorry.", param=None),
    frame("error", sequence_number=9, error={"type": "server_error", "code": "server_error", "message": "Sorry."}),
    frame("response.failed", response={**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "Sorry."}}),
    b'data: {"error":{"message":"Sorry.","type":"server_error","code":"server_error"}}\n\n',
    b'{"error":{"message":"Sorry.","type":"server_error","code":"server_error"}}\n\n',
]


@pytest.mark.parametrize("report", REPORTED)
@pytest.mark.parametrize("position", POSITIONS)
def test_case_18_an_error_the_provider_reports_anywhere_is_the_streams_error(position: int, report: bytes) -> None:
    relay = ResponsesRelay()
    passed = relay.feed(b"".join(FRAMES[:position]) + report + b"".join(FRAMES[position:]))
    broken(relay)
    assert relay.error is not None
    assert (relay.error.message, relay.error.code) == ("Sorry.", "server_error")
    assert report not in passed


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", ErrorKind.RATE_LIMITED),
        ("invalid_prompt", ErrorKind.CONTENT_POLICY),
        ("image_too_large", ErrorKind.INVALID_REQUEST),
        ("server_error", ErrorKind.UPSTREAM_ERROR),
    ],
)
def test_case_25_a_failed_response_is_classified_by_its_code(code: str, kind: ErrorKind) -> None:
    relay = ResponsesRelay()
    relay.feed(frame("response.failed", response={**RESPONSE, "status": "failed", "error": {"code": code, "message": "No."}}))
    assert relay.error is not None
    assert relay.error.kind is kind


def test_a_failed_response_still_says_what_it_used() -> None:
    relay = ResponsesRelay()
    relay.feed(
        frame("response.failed", response={**RESPONSE, "error": {"code": "server_error", "message": "x"}, "usage": USAGE})
    )
    assert relay.usage is not None
    assert relay.usage.output == 3


@pytest.mark.parametrize("sent", range(1, len(FRAMES)))
def test_case_18_the_closing_bytes_of_a_broken_stream_are_explicit(sent: int, events: Events) -> None:
    relay = ResponsesRelay()
    relay.feed(b"".join(FRAMES[:sent]))
    relay.close()
    assert relay.error is not None
    error, failed = events(relay.fail(relay.error))
    assert (error["type"], error["sequence_number"]) == ("error", sent)
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", sent + 1)
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_up", "failed")
    assert failed["response"]["error"]["message"] == error["message"]


def test_case_17_a_stream_that_never_began_fails_with_the_error_event_alone(events: Events) -> None:
    (error,) = events(ResponsesRelay().fail(broken_stream("nothing came")))
    assert error["type"] == "error"


def test_case_18_the_official_sdk_raises_on_a_stream_cut_in_the_middle(sdk: Callable[[bytes], OpenAI]) -> None:
    relay = ResponsesRelay()
    written = relay.feed(b"".join(FRAMES[:5])) + relay.close()
    assert relay.error is not None
    written += relay.fail(relay.error)
    with pytest.raises(APIError, match="stream broke"):
        list(sdk(written).responses.create(model="m", input="Hi", stream=True))


# --- Recordings ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_cassettes
def test_every_recorded_stream_passes_byte_for_byte_or_reports_its_error(recorded_streams: list[tuple[str, bytes]]) -> None:
    assert len(recorded_streams) >= 27
    failed = []
    for name, stream in recorded_streams:
        relay = ResponsesRelay()
        passed = b"".join(relay.feed(stream[at : at + 97]) for at in range(0, len(stream), 97)) + relay.close()
        if relay.error is not None:
            failed.append(name)
            assert passed == b""
            continue
        assert passed == stream, name
        assert relay.finished, name
        assert relay.finish in ("stop", "tool_calls"), name
        assert relay.usage is not None, name
        totals = [int(number) for number in re.findall(rb'"total_tokens":(\d+)', stream)]
        assert relay.usage.total == totals[-1], name
        assert relay.response is not None
    assert failed == ["vercel-ai--openai-error.1.chunks"]
