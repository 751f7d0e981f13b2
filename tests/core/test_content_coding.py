"""Compressed bodies, in any pieces, whole and cut."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.content_coding import Decoding
from pllm.core.errors import ErrorKind, GatewayError


def bare(data: bytes) -> bytes:
    """Deflate as some servers send it: without the header that zlib puts before it."""
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare,
    "": bytes,
    "identity": bytes,
}


def decoded(coding: str, *pieces: bytes) -> bytes:
    decoding = Decoding(coding)
    out = b"".join(one for piece in pieces for one in decoding.feed(piece))
    decoding.end()
    return out


@given(st.sampled_from(sorted(CODINGS)), st.binary(max_size=200), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_any_pieces_give_the_same_bytes(coding: str, data: bytes, size: int) -> None:
    body = CODINGS[coding](data)
    assert decoded(coding, *(body[at : at + size] for at in range(0, len(body), size))) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
def test_a_body_that_was_cut_anywhere_is_known_by_it_and_what_came_is_given(coding: str) -> None:
    data = bytes(range(256))
    body = CODINGS[coding](data)
    for cut in range(1, len(body)):
        decoding = Decoding(coding)
        came = b"".join(decoding.feed(body[:cut]))
        assert data.startswith(came)
        with pytest.raises(GatewayError, match="ended early") as caught:
            decoding.end()
        assert caught.value.kind is ErrorKind.STREAM_BROKEN


def test_what_a_server_flushes_is_given_at_once() -> None:
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    decoding = Decoding("gzip")
    for event in (b"data: one\n\n", b"data: two\n\n"):
        sent = packing.compress(event) + packing.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoding.feed(sent)) == event


def test_gzip_after_gzip_is_one_body() -> None:
    body = gzip.compress(b"one") + gzip.compress(b"two")
    assert decoded("gzip", body) == decoded("gzip", body[:-3], body[-3:]) == b"onetwo"


def test_an_empty_body_needs_no_coding() -> None:
    assert decoded("gzip") == b""


def test_little_that_stands_for_much_is_given_in_small_pieces() -> None:
    sizes = [len(piece) for piece in Decoding("gzip").feed(gzip.compress(bytes(3_000_000)))]
    assert (sum(sizes), max(sizes)) == (3_000_000, 256 * 1024)


@pytest.mark.parametrize(
    ("coding", "body", "why"),
    [
        ("br", b"x", "its content-encoding is 'br', and only gzip, deflate was asked for"),
        ("gzip, gzip", b"x", "its content-encoding is 'gzip, gzip'"),
        ("gzip", b"<html>", "it is not the gzip that its content-encoding says"),
        ("gzip", gzip.compress(b"x", mtime=0) + b"more", "it is not the gzip"),
        ("deflate", zlib.compress(b"x") + b"more", "it is not the deflate"),
    ],
)
def test_what_cannot_be_undone_is_said(coding: str, body: bytes, why: str) -> None:
    with pytest.raises(GatewayError, match=why) as caught:
        decoded(coding, body)
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL
