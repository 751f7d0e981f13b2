"""The framing of server-sent events, against the WHATWG grammar and the decoder of the official SDK."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder as OfficialDecoder

from pllm.wire.sse import KEEP_ALIVE, MAX_EVENT_BYTES, SseDecoder, SseError, SseEvent, encode

LINE_ENDS = ("\n", "\r\n", "\r")

values = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
blocks = st.lists(
    st.one_of(
        values.map(lambda value: f"data: {value}"),
        values.map(lambda value: f"data:{value.lstrip(' ')}"),
        values.map(lambda value: f"event: {value.strip()}"),
        values.map(lambda value: f":{value}"),
        st.sampled_from(["data", "id: 7", "retry: 3", "unknown: x"]),
    ),
    min_size=1,
    max_size=4,
)


def decode(pieces: list[bytes]) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def facts(events: list[SseEvent]) -> list[tuple[bytes | None, str]]:
    return [(event.data, event.event) for event in events]


@settings(max_examples=150, deadline=None)
@given(st.lists(blocks, max_size=5), st.sampled_from(LINE_ENDS), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_chunk_boundaries_line_ends_and_a_byte_order_mark_change_nothing(
    written: list[list[str]], end: str, cuts: list[int], mark: bool
) -> None:
    plain = "".join("\n".join(block) + "\n\n" for block in written).encode()
    stream = (b"\xef\xbb\xbf" if mark else b"") + plain.replace(b"\n", end.encode())
    assert decode(split(stream, cuts)) == decode([plain])


@settings(max_examples=150, deadline=None)
@given(st.lists(blocks, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_data_and_event_names_are_what_the_official_decoder_reads(written: list[list[str]], cuts: list[int]) -> None:
    stream = "".join("\n".join(block) + "\n\n" for block in written).encode()
    ours = [(event.data, event.event) for event in decode(split(stream, cuts)) if event.data]
    theirs = [(event.data.encode(), event.event or "") for event in OfficialDecoder().iter_bytes(iter([stream])) if event.data]
    assert ours == theirs


@settings(max_examples=100, deadline=None)
@given(st.lists(blocks, max_size=5), st.sampled_from(LINE_ENDS))
def test_forwarding_the_raw_blocks_loses_nothing(written: list[list[str]], end: str) -> None:
    events = decode(["".join(end.join(block) + end * 2 for block in written).encode()])
    assert facts(decode([b"".join(event.raw for event in events)])) == facts(events)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
@example(b"\xef\xbb", [1])
@example(b"\r\n\r\n\r", [1, 2, 3])
@example(b"data: a\n\n\n\n\ndata: b\n\n", [8, 9, 10])
def test_any_bytes_at_all_decode_alike_at_any_boundary(stream: bytes, cuts: list[int]) -> None:
    assert decode(split(stream, cuts)) == decode([stream])


def test_several_data_lines_join_with_a_line_feed() -> None:
    assert facts(decode([b"event: a\ndata: 1\ndata:2\ndata:  3\n\n"])) == [(b"1\n2\n 3", "a")]


def test_comments_and_bare_ids_are_blocks_without_data() -> None:
    events = decode([b": OPENROUTER PROCESSING\n\nid: 4\n\ndata\n\n" + KEEP_ALIVE])
    assert [event.data for event in events] == [None, None, b"", None]
    assert events[0].raw == b": OPENROUTER PROCESSING\n\n"


def test_a_character_split_between_chunks_arrives_whole() -> None:
    stream = "data: é🙂\n\n".encode()
    for cut in range(len(stream)):
        assert facts(decode([stream[:cut], stream[cut:]])) == [("é🙂".encode(), "")]


def test_the_last_block_is_given_even_without_its_blank_line() -> None:
    assert facts(decode([b"data: [DONE]"])) == facts(decode([b"data: [DONE]\n"])) == [(b"[DONE]", "")]


def test_an_event_that_never_ends_is_refused_and_not_buffered_for_ever() -> None:
    decoder = SseDecoder()
    with pytest.raises(SseError, match="larger"):
        for _ in range(20):
            decoder.feed(b"x" * (MAX_EVENT_BYTES // 16 + 1))


@settings(max_examples=40, deadline=None)
@given(values.filter(bool), st.sampled_from(["", "message_start"]))
def test_what_we_write_is_read_back(value: str, name: str) -> None:
    assert facts(decode([encode(value.encode(), name)])) == [(value.encode(), name)]
