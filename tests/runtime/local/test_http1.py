from itertools import pairwise

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_stream.local.http1 import Data, End, Head, MalformedRequestError, RequestReader


def _read(data: bytes, cuts: list[int] | None = None) -> list[Head | Data | End]:
    reader = RequestReader()
    positions = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    return [event for start, end in pairwise(positions) for event in reader.feed(data[start:end])]


def _body(events: list[Head | Data | End]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10), st.lists(st.integers(0, 10_000), max_size=20))
@settings(deadline=None, max_examples=100)
def test_requests_written_by_h11_are_read_the_same_however_they_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    writer = h11.Connection(h11.CLIENT)
    headers = [("Host", "h"), ("Transfer-Encoding", "chunked"), ("X-Name", "a: value")]
    sent = writer.send(h11.Request(method="POST", target="/a/path?q", headers=headers)) or b""
    for piece in pieces:
        sent += writer.send(h11.Data(data=piece)) or b""
    sent += writer.send(h11.EndOfMessage(headers=[("X-Trailer", "t")])) or b""
    events = _read(sent * 2, cuts)
    heads = [event for event in events if isinstance(event, Head)]
    assert heads == [Head("POST", "/a/path?q", {"host": "h", "transfer-encoding": "chunked", "x-name": "a: value"})] * 2
    assert _body(events) == b"".join(pieces) * 2
    assert [event for event in events if isinstance(event, End)] == [End({"x-trailer": "t"})] * 2


def test_a_body_with_a_length_is_read_to_its_end_and_no_further() -> None:
    events = _read(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n")
    assert events == [
        Head("POST", "/a", {"content-length": "3"}),
        Data(b"abc"),
        End({}),
        Head("GET", "/b", {}),
        End({}),
    ]


def test_a_piece_is_handed_on_before_its_chunk_is_complete() -> None:
    reader = RequestReader()
    list(reader.feed(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"))
    assert list(reader.feed(b"a\r\n0123")) == [Data(b"0123")]
    assert list(reader.feed(b"456789\r\n0\r\n\r\n")) == [Data(b"456789"), End({})]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        _read(data)
