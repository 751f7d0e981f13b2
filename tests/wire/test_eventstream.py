"""The framing of AWS's event stream, judged by botocore's own decoder."""

import struct
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.wire.eventstream import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    EventStreamDecoder,
    EventStreamError,
    Frame,
    HeaderValue,
    encode,
    event,
    exception,
)

PROPERTY = settings(deadline=None, max_examples=60)

names = st.text(min_size=1, max_size=20).filter(lambda name: 0 < len(name.encode()) < 256)
values = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.binary(max_size=40),
    st.text(max_size=40),
    st.uuids(),
)
headers = st.dictionaries(names, values, max_size=5)
frames = st.builds(Frame, headers, st.binary(max_size=200))


def botocore_frames(data: bytes) -> list[tuple[dict[str, object], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


def as_botocore_sees(value: HeaderValue) -> object:
    return value.bytes if isinstance(value, UUID) else value


def packed(total: int, header_bytes: int, rest: bytes) -> bytes:
    """A frame with the lengths it claims and correct checksums, whatever they hold."""
    lengths = struct.pack(">II", total, header_bytes)
    body = lengths + struct.pack(">I", crc32(lengths)) + rest
    return body + struct.pack(">I", crc32(body))


def framed(header_bytes: bytes, payload: bytes = b"") -> bytes:
    return packed(len(header_bytes) + len(payload) + 16, len(header_bytes), header_bytes + payload)


@PROPERTY
@given(st.lists(frames, max_size=4))
def test_botocore_reads_what_the_encoder_writes(sent: list[Frame]) -> None:
    data = b"".join(encode(frame.headers, frame.payload) for frame in sent)
    expected = [({k: as_botocore_sees(v) for k, v in frame.headers.items()}, frame.payload) for frame in sent]
    assert botocore_frames(data) == expected


@PROPERTY
@given(st.lists(frames, max_size=4), st.data())
def test_frames_survive_every_chunk_boundary(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(encode(frame.headers, frame.payload) for frame in sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    decoder = EventStreamDecoder()
    received: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == sent
    assert decoder.pending == 0


def test_a_stream_fed_byte_by_byte_gives_each_frame_at_its_last_byte() -> None:
    stream = event("messageStart", b'{"role":"assistant"}')
    decoder = EventStreamDecoder()
    assert [decoder.feed(stream[i : i + 1]) for i in range(len(stream) - 1)] == [[]] * (len(stream) - 1)
    (frame,) = decoder.feed(stream[-1:])
    assert (frame.text(":event-type"), frame.payload) == ("messageStart", b'{"role":"assistant"}')


def test_every_header_type_is_read_as_botocore_reads_it() -> None:
    uuid = UUID(int=7)
    raw = b"".join(
        [
            b"\x01a\x00",
            b"\x01b\x01",
            b"\x01c\x02\xff",
            b"\x01d\x03" + struct.pack(">h", -300),
            b"\x01e\x04" + struct.pack(">i", -70_000),
            b"\x01f\x05" + struct.pack(">q", -(2**40)),
            b"\x01g\x06\x00\x02\x00\xff",
            b"\x01h\x07\x00\x02\xc3\xa9",
            b"\x01i\x08" + struct.pack(">q", 1_800_000_000_000),
            b"\x01j\x09" + uuid.bytes,
        ]
    )
    (frame,) = EventStreamDecoder().feed(framed(raw, b"{}"))
    assert {name: as_botocore_sees(value) for name, value in frame.headers.items()} == botocore_frames(framed(raw, b"{}"))[0][0]
    assert frame.headers["j"] == uuid
    assert frame.headers["i"] == 1_800_000_000_000


def test_exception_frames_name_their_exception() -> None:
    (frame,) = EventStreamDecoder().feed(exception("throttlingException", b"{}"))
    assert (frame.text(":message-type"), frame.text(":exception-type")) == ("exception", "throttlingException")


@pytest.mark.parametrize("position", range(len(event("metadata", b"{}"))))
def test_one_corrupt_byte_anywhere_is_an_error_and_never_a_frame(position: int) -> None:
    stream = bytearray(event("metadata", b"{}"))
    stream[position] ^= 0x40
    decoder = EventStreamDecoder()
    with pytest.raises(EventStreamError):
        decoder.feed(bytes(stream))
    with pytest.raises(EventStreamError):
        decoder.feed(event("metadata", b"{}"))


def test_frames_before_a_corrupt_one_are_given_before_the_error() -> None:
    bad = bytearray(event("messageStop", b"{}"))
    bad[-1] ^= 1
    decoder = EventStreamDecoder()
    (first,) = decoder.feed(event("messageStart", b"{}") + bytes(bad))
    assert first.text(":event-type") == "messageStart"
    with pytest.raises(EventStreamError, match="checksum"):
        decoder.feed(b"")


def test_a_cut_frame_stays_pending() -> None:
    stream = event("messageStart", b"{}")
    decoder = EventStreamDecoder()
    assert decoder.feed(stream[:-3]) == []
    assert decoder.pending == len(stream) - 3


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (packed(MAX_PAYLOAD_BYTES + 17, 0, b""), "payload"),
        (packed(2**32 - 1, MAX_HEADER_BYTES + 1, b""), "headers"),
        (packed(15, 0, b""), "cannot hold"),
        (packed(16, 5, b""), "cannot hold"),
        (framed(b"\x01a\x0a"), "unknown type 10"),
        (framed(b"\x01a\x00\x01a\x01"), "twice"),
        (framed(b"\x01a\x04\x00"), "middle of a value"),
        (framed(b"\x01a"), "middle of a value"),
        (framed(b"\x05a"), "past the end"),
        (framed(b"\x01a\x07\x00\x09x"), "past the end"),
        (framed(b"\x01a\x09\x00"), "past the end"),
        (framed(b"\x01a\x07\x00\x01\xff"), "UTF-8"),
    ],
)
def test_lengths_and_headers_that_cannot_be_right_are_refused(stream: bytes, reason: str) -> None:
    with pytest.raises(EventStreamError, match=reason):
        EventStreamDecoder().feed(stream)


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "x"), ("n" * 256, "x"), ("n", "x" * 65_536), ("n", 2**63)],
)
def test_the_encoder_refuses_what_has_no_encoding(name: str, value: HeaderValue) -> None:
    with pytest.raises(EventStreamError):
        encode({name: value}, b"")


def test_the_encoder_refuses_a_payload_no_client_would_read() -> None:
    with pytest.raises(EventStreamError, match="too many"):
        encode({}, bytes(MAX_PAYLOAD_BYTES + 1))
