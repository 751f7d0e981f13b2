import asyncio
import socket

import pytest
from tests.runtime.support.recording import RecordingRuntimeApi

from lambda_stream.connection import ResponseConnection, StreamClosedError
from lambda_stream.protocol import chunk, request_head


async def _respond(connection: ResponseConnection, invoke_id: str, *pieces: bytes) -> int:
    await connection.open(request_head(connection.address, invoke_id, None), chunk(b"first"))
    for piece in pieces:
        await connection.write(piece)
    await connection.finish()
    return await connection.acknowledged()


def _connection(api: RecordingRuntimeApi) -> ResponseConnection:
    return ResponseConnection(api.address, asyncio.get_running_loop())


async def test_each_write_is_one_chunk_and_empty_ones_are_skipped(runtime_api: RecordingRuntimeApi) -> None:
    connection = _connection(runtime_api)
    assert await _respond(connection, "1", b"a", b"", b"bc") == 202
    assert runtime_api.posts[0].chunks == [b"first", b"a", b"bc"]
    assert runtime_api.posts[0].is_complete
    connection.close()


async def test_one_connection_serves_response_after_response(runtime_api: RecordingRuntimeApi) -> None:
    connection = _connection(runtime_api)
    for number in range(3):
        await _respond(connection, str(number))
    assert (len(runtime_api.posts), runtime_api.connections) == (3, 1)
    connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nokmore than it said",
    ],
)
async def test_a_connection_that_cannot_be_kept_is_opened_anew(runtime_api: RecordingRuntimeApi, answer: bytes) -> None:
    runtime_api.answer = answer
    connection = _connection(runtime_api)
    assert [await _respond(connection, "1"), await _respond(connection, "2")] == [202, 202]
    assert runtime_api.connections == 2
    connection.close()


async def test_the_status_of_the_answer_is_returned(runtime_api: RecordingRuntimeApi) -> None:
    runtime_api.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    connection = _connection(runtime_api)
    assert await _respond(connection, "1") == 403
    connection.close()


async def test_more_than_the_kernel_takes_at_once_arrives_whole(runtime_api: RecordingRuntimeApi) -> None:
    connection = _connection(runtime_api)
    large = bytes(range(256)) * 80_000
    assert await _respond(connection, "1", large) == 202
    assert runtime_api.posts[0].chunks[1] == large
    connection.close()


async def test_a_runtime_api_that_hangs_up_is_told_to_the_writer(runtime_api: RecordingRuntimeApi) -> None:
    runtime_api.hang_up_after_bytes = 100_000
    connection = _connection(runtime_api)
    with pytest.raises(StreamClosedError, match="closed this response"):
        await _respond(connection, "1", *[b"x" * 100_000] * 100)
    with pytest.raises(StreamClosedError, match="closed this response"):
        await connection.write(b"nobody reads this")
    with pytest.raises(StreamClosedError, match="closed this response"):
        await connection.acknowledged()


async def test_an_answer_that_never_comes_is_told(runtime_api: RecordingRuntimeApi) -> None:
    runtime_api.hang_up_after_bytes = 0
    connection = _connection(runtime_api)
    with pytest.raises(StreamClosedError):
        await _respond(connection, "1")


async def test_a_runtime_api_that_is_not_there_is_told_with_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        connection = ResponseConnection(address, asyncio.get_running_loop())
        with pytest.raises(StreamClosedError, match=f"cannot connect to the Runtime API at {address}"):
            await _respond(connection, "1")


async def test_what_several_tasks_send_stays_in_one_piece_when_nobody_reads_for_a_while(
    runtime_api: RecordingRuntimeApi,
) -> None:
    connection = _connection(runtime_api)
    await connection.open(request_head(connection.address, "1", None), b"")
    large = [bytes([letter]) * 4_000_000 for letter in b"abc"]
    await asyncio.gather(*(connection.write(piece) for piece in (large[0], b"small", large[1], large[2])))
    await connection.finish()
    assert await connection.acknowledged() == 202
    assert runtime_api.posts[0].chunks == [large[0], b"small", large[1], large[2]]
    connection.close()


async def test_who_waits_to_send_goes_before_what_comes_after(runtime_api: RecordingRuntimeApi) -> None:
    connection = _connection(runtime_api)
    await connection.open(request_head(connection.address, "1", None), b"")
    first, last = b"a" * 20_000_000, b"c" * 20_000_000

    async def one_after_the_other() -> None:
        await connection.write(first)
        await connection.write(last)
        await connection.finish()

    await asyncio.gather(one_after_the_other(), connection.write(b"b"))
    assert await connection.acknowledged() == 202
    assert runtime_api.posts[0].chunks == [first, b"b", last]
    connection.close()


async def test_a_chunk_that_was_given_up_in_its_middle_is_not_followed_by_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        connection = ResponseConnection(f"{host}:{port}", asyncio.get_running_loop())
        await connection.open(request_head(connection.address, "1", None), b"")
        writing = asyncio.create_task(connection.write(b"x" * 20_000_000))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        with pytest.raises(StreamClosedError):
            await connection.fail(LookupError("why"), "1")
