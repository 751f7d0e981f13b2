import asyncio
import json

import pytest

from lambda_stream.local.replies import (
    BodyStream,
    BufferedReply,
    InvocationFailedError,
    PreludeReader,
    StreamBrokenError,
    read_proxy_response,
)
from lambda_stream.protocol import prelude_joined, prelude_multi_value


def _stream() -> tuple[BodyStream, list[str]]:
    asked: list[str] = []
    return BodyStream(lambda: asked.append("pause"), lambda: asked.append("resume")), asked


async def test_a_reader_waits_for_a_piece_and_gets_all_that_has_come() -> None:
    stream, _ = _stream()
    waiting = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    stream.feed(b"a")
    assert await waiting == b"a"
    stream.feed(b"b")
    stream.feed(b"c")
    stream.end()
    assert [await stream.read(), await stream.read()] == [b"bc", b""]


async def test_a_broken_stream_gives_what_came_and_then_the_reason() -> None:
    stream, _ = _stream()
    stream.feed(b"half")
    stream.break_off("killed")
    assert await stream.read() == b"half"
    with pytest.raises(StreamBrokenError, match="killed"):
        await stream.read()


async def test_a_stream_that_has_ended_cannot_break() -> None:
    stream, _ = _stream()
    stream.end()
    stream.break_off("killed afterwards")
    assert await stream.read() == b""


async def test_a_worker_is_held_back_while_its_client_is_slow() -> None:
    stream, asked = _stream()
    for _ in range(5):
        stream.feed(b"x" * 100_000)
    assert asked == ["pause"]
    assert len(await stream.read()) == 500_000
    assert asked == ["pause", "resume"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_prelude_is_read_however_it_is_cut(size: int) -> None:
    sent = prelude_multi_value(201, [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x", b"y")]) + b"body"
    reader = PreludeReader()
    for start in range(0, len(sent), size):
        complete = reader.feed(sent[start : start + size])
        if complete is not None:
            break
    assert complete is not None
    status, headers, first = complete
    assert (status, headers) == (201, [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x", "y")])
    assert b"body".startswith(first)


def test_the_cookies_of_a_joined_prelude_become_headers() -> None:
    complete = PreludeReader().feed(prelude_joined(200, [(b"set-cookie", b"a=1"), (b"x", b"y")]))
    assert complete == (200, [("x", "y"), ("set-cookie", "a=1")], b"")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"x" * 9000, "no prelude within the first 8192 bytes"),
        (b"not json" + b"\0" * 8, "the prelude is not JSON"),
        (b"[]" + b"\0" * 8, "the prelude is a JSON list"),
        (b"{}" + b"\0" * 8, "statusCode is None"),
        (b'{"statusCode": 999}' + b"\0" * 8, "statusCode is 999"),
        (b'{"statusCode": 100}' + b"\0" * 8, "statusCode is 100"),
        (b'{"statusCode": 200, "headers": []}' + b"\0" * 8, "headers is a JSON list"),
        (b'{"statusCode": 200, "multiValueHeaders": {"a": "b"}}' + b"\0" * 8, "a is a JSON str, not a list"),
        (b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}' + b"\0" * 8, "not a header: 'a'"),
        (b'{"statusCode": 200, "headers": {"a b": "c"}}' + b"\0" * 8, "not a header: 'a b'"),
        (b'{"statusCode": 200, "cookies": [{}]}' + b"\0" * 8, "not a header: 'set-cookie'"),
    ],
)
def test_a_prelude_that_is_none_fails_with_the_reason(sent: bytes, reason: str) -> None:
    with pytest.raises(InvocationFailedError, match=reason):
        PreludeReader().feed(sent)


def test_proxy_json_is_read_with_both_kinds_of_headers_and_a_base64_body() -> None:
    answer = {
        "statusCode": 200,
        "headers": {"X-One": "1", "x-many": "ignored: the list has it"},
        "multiValueHeaders": {"X-Many": ["1", "2"]},
        "body": "/wA=",
        "isBase64Encoded": True,
    }
    reply = read_proxy_response(json.dumps(answer).encode())
    assert reply == BufferedReply(200, [("X-Many", "1"), ("X-Many", "2"), ("X-One", "1")], b"\xff\x00")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("text", "a JSON str"),
        ({"body": "no status"}, "statusCode is None"),
        ({"statusCode": 200, "body": {}}, "body is a dict"),
        ({"statusCode": 200, "body": 3}, "body is a int"),
        ({"statusCode": 200, "body": "!", "isBase64Encoded": True}, "not the base64"),
    ],
)
def test_a_malformed_proxy_answer_fails_with_the_reason(answer: object, reason: str) -> None:
    with pytest.raises(InvocationFailedError, match=reason):
        read_proxy_response(json.dumps(answer).encode())
