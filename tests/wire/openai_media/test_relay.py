"""Streams on their way through: audio bytes, partial images, transcripts."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import ImageGenStreamEvent
from openai.types.audio import TranscriptionStreamEvent
from pydantic import TypeAdapter

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.wire.neutral import Usage
from pllm.wire.openai_media.relay import ByteRelay, EventRelay

few = settings(deadline=None, max_examples=80)


def event(payload: Any, name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(payload).encode() + b"\n\n"


def image(kind: str = "image_generation.completed", b64: str = "eA==", **more: Any) -> bytes:
    base = {"type": kind, "b64_json": b64, "created_at": 1, "background": "auto", "output_format": "png"}
    return event(base | {"quality": "low", "size": "1x1"} | more, kind)


USAGE = {
    "input_tokens": 5,
    "output_tokens": 7,
    "total_tokens": 12,
    "input_tokens_details": {"text_tokens": 5, "image_tokens": 0},
}
PARTIAL = image("image_generation.partial_image", partial_image_index=0)
DONE = image(usage=USAGE)
DELTA = event({"type": "transcript.text.delta", "delta": "Grüße"}, "transcript.text.delta")
TEXT = event(
    {
        "type": "transcript.text.done",
        "text": "Grüße",
        "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    },
    "transcript.text.done",
)


def images(results: int = 1) -> EventRelay:
    return EventRelay("image_generation.completed", results)


def transcript() -> EventRelay:
    return EventRelay("transcript.text.done")


def test_the_events_of_these_tests_are_openais() -> None:
    image_events: TypeAdapter[Any] = TypeAdapter(ImageGenStreamEvent)
    text_events: TypeAdapter[Any] = TypeAdapter(TranscriptionStreamEvent)
    for raw, judge in ((PARTIAL, image_events), (DONE, image_events), (DELTA, text_events), (TEXT, text_events)):
        payload = raw.split(b"data: ")[1]
        assert judge.validate_json(payload, strict=True).type == json.loads(payload)["type"]


# --- Bytes ----------------------------------------------------------------------------------------------------------


@few
@given(pieces=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=6))
def test_audio_passes_byte_for_byte_and_is_whole_when_its_body_is(pieces: list[bytes]) -> None:
    relay = ByteRelay(Usage(characters=4))
    assert not relay.opened
    assert relay.usage is None
    passed = b"".join(relay.feed(piece) for piece in pieces)
    assert passed == b"".join(pieces)
    assert (relay.opened, relay.finished) == (True, False)
    assert relay.close() == b""
    assert (relay.finished, relay.error, relay.finish) == (True, None, None)
    assert relay.usage == Usage(characters=4)


def test_no_audio_at_all_is_no_answer() -> None:
    relay = ByteRelay(None)
    assert relay.feed(b"") == b""
    relay.close()
    assert (relay.opened, relay.finished) == (False, False)
    assert relay.error is not None
    assert relay.error.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_audio_has_no_words_for_an_error() -> None:
    assert ByteRelay(None).fail(broken_stream("cut")) is None  # type: ignore[func-returns-value]  # the contract's None


# --- Events ---------------------------------------------------------------------------------------------------------


@few
@given(data=st.data())
def test_events_pass_as_received_at_any_chunking(data: st.DataObject) -> None:
    stream, relay = data.draw(
        st.sampled_from(
            [
                (b": hello\n\n" + PARTIAL + PARTIAL + DONE, images()),
                (PARTIAL + DONE + PARTIAL + DONE, images(2)),
                (DELTA + TEXT, transcript()),
                (event({"type": "speech.audio.delta", "audio": "eA=="}) + event({"type": "s.done"}), EventRelay("s.done")),
            ]
        )
    )
    relay = EventRelay(relay._whole, relay._results)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join(relay.feed(piece) for piece in pieces) == stream
    assert (relay.opened, relay.finished, relay.error) == (True, True, None)
    assert relay.feed(b"data: more\n\n") + relay.close() == b""


def test_usage_is_read_where_it_is_told_and_results_add_up() -> None:
    relay = images(2)
    relay.feed(PARTIAL + DONE)
    assert relay.usage is not None
    assert (relay.usage.prompt, relay.usage.output, relay.usage.images) == (5, 7, 1)
    relay.feed(DONE)
    assert (relay.usage.prompt, relay.usage.output, relay.usage.images) == (10, 14, 2)
    words = transcript()
    words.feed(DELTA + TEXT)
    assert words.usage is not None
    assert (words.usage.prompt, words.usage.output, words.usage.images) == (3, 2, 0)


def test_the_characters_of_speech_stay_beside_its_tokens() -> None:
    relay = EventRelay("speech.audio.done", usage=Usage(characters=11))
    relay.feed(event({"type": "speech.audio.delta", "audio": "eA=="}))
    relay.feed(event({"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}}))
    assert relay.usage is not None
    assert (relay.usage.characters, relay.usage.prompt, relay.usage.output) == (11, 14, 101)


def test_a_stream_in_imitation_of_chat_is_complete_at_done() -> None:
    relay = transcript()
    chunk = event({"object": "transcription.chunk", "choices": [{"delta": {"content": "hi"}}]})
    assert relay.feed(chunk + b"data: [DONE]\n\n") == chunk + b"data: [DONE]\n\n"
    assert relay.finished


def test_fewer_results_than_asked_for_are_whole_at_a_proper_end() -> None:
    relay = images(3)
    relay.feed(DONE)
    assert not relay.finished
    assert relay.close() == b""
    assert (relay.finished, relay.error) == (True, None)


def test_a_last_event_without_its_blank_line_counts_when_it_is_the_terminal_one() -> None:
    relay = transcript()
    relay.feed(DELTA + TEXT[:-2])
    assert relay.close() == TEXT
    assert relay.finished


def test_a_partial_image_is_not_parsed() -> None:
    big = image("image_generation.partial_image", "A" * 40_000)
    relay = images()
    assert relay.feed(big) == big
    assert relay.opened
    broken = big.replace(b"}\n\n", b"\n\n")
    relay.feed(broken)
    assert relay.error is not None
    assert "partial_image event is not a JSON object" in relay.error.message


@pytest.mark.parametrize("chunk", [b"", DELTA, DELTA + TEXT[:9], b": ping\n\n", TEXT[:-9]])
def test_an_end_before_the_terminal_event_is_an_error(chunk: bytes) -> None:
    relay = transcript()
    relay.feed(chunk)
    relay.close()
    assert not relay.finished
    assert relay.error is not None


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (event({"type": "error", "error": {"message": "overloaded", "code": 503}}, "error"), 503, "overloaded"),
        (event({"type": "error", "message": "flat", "code": "rate_limit_exceeded", "param": None}), 429, "flat"),
        (event({"error": {"message": "bare", "type": "invalid_request_error"}}), 400, "bare"),
        (event({"error": "text"}), 502, "text"),
        (b"data: {oops\n\n", 502, "not JSON"),
        (b"data: []\n\n", 502, "not a JSON object"),
        (b"<html>\n<p>502</p>\n\n", 502, "something else came"),
        (b"data: [DONE]\n\n", 502, "before it began"),
    ],
)
def test_what_is_no_event_of_an_answer_is_an_error_and_not_passed_on(raw: bytes, status: int, words: str) -> None:
    relay = images()
    assert relay.feed(raw) == b""
    assert relay.error is not None
    assert relay.error.status == status
    assert words in relay.error.message
    assert relay.feed(DONE) + relay.close() == b""
    assert not relay.finished


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.wire.sse.MAX_EVENT_BYTES", 100)
    relay = images()
    relay.feed(b"data: " + b"x" * 200)
    assert relay.error is not None
    assert relay.error.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_a_failure_is_an_error_event() -> None:
    error = GatewayError(ErrorKind.STREAM_BROKEN, "It broke.")
    name, data = images().fail(error).decode().removesuffix("\n\n").split("\n")
    assert name == "event: error"
    payload = json.loads(data.removeprefix("data: "))
    assert payload["error"] == {"message": "It broke.", "type": "upstream_error", "param": None, "code": "stream_broken"}
