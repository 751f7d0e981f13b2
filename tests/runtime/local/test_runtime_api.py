"""The local Runtime API against a worker that does not do as it should; the well-behaved ones are in test_local_lambda."""

import asyncio
from dataclasses import dataclass, field

import pytest

from lambda_stream.local.invocation import Invocation
from lambda_stream.local.replies import BufferedReply, InvocationFailedError, StreamBrokenError, StreamedReply
from lambda_stream.local.runtime_api import RuntimeApiConnection
from lambda_stream.protocol import chunk, last_chunk_with_error, prelude_multi_value, request_head


@dataclass
class FakeWorker:
    """An environment that is busy with one invocation."""

    invocation: Invocation
    is_answered: bool = False
    waits: int = 0
    init_errors: list[str] = field(default_factory=list)

    def next_requested(self, connection: RuntimeApiConnection) -> None:
        self.waits += 1

    def take_answer(self, invoke_id: str) -> Invocation | None:
        if invoke_id != self.invocation.id or self.is_answered:
            return None
        self.is_answered = True
        return self.invocation

    def init_failed(self, reason: str) -> None:
        self.init_errors.append(reason)


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Peer:
    """A worker's connection, driven by hand."""

    def __init__(self) -> None:
        self.invocation = Invocation(b"{}")
        self.worker = FakeWorker(self.invocation)
        self.transport = FakeTransport()
        self.connection = RuntimeApiConnection(self.worker)
        self.connection.connection_made(self.transport)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    def post(self, path: str, body: bytes, headers: str = "") -> None:
        head = f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.send(head.encode() + body)

    @property
    def head(self) -> bytes:
        return request_head("h:1", self.invocation.id, self.invocation.invocation_id)

    @property
    def status(self) -> int:
        return int(self.transport.written.split(b" ")[1])


async def _body(reply: StreamedReply | BufferedReply) -> bytes:
    assert isinstance(reply, StreamedReply)
    received = b""
    while data := await reply.body.read():
        received += data
    return received


async def test_a_stream_is_handed_on_and_acknowledged_at_its_end() -> None:
    peer = Peer()
    peer.send(peer.head + chunk(prelude_multi_value(200, [])) + chunk(b"first"))
    reply = await peer.invocation.reply
    assert peer.transport.written == b""
    peer.send(chunk(b"last") + b"0\r\n\r\n")
    assert (await _body(reply), peer.status) == (b"firstlast", 202)


async def test_trailers_break_the_stream_with_their_error() -> None:
    peer = Peer()
    peer.send(peer.head, chunk(prelude_multi_value(200, [])), chunk(b"half"))
    peer.send(last_chunk_with_error(ValueError("what went wrong"), "an-id"))
    with pytest.raises(StreamBrokenError, match="ValueError: what went wrong"):
        await _body(await peer.invocation.reply)
    assert peer.status == 202


async def test_trailers_that_are_not_base64_still_break_the_stream() -> None:
    peer = Peer()
    peer.send(peer.head, chunk(prelude_multi_value(200, [])))
    peer.send(b"0\r\nLambda-Runtime-Function-Error-Type: Odd\r\nLambda-Runtime-Function-Error-Body: ?\r\n\r\n")
    with pytest.raises(StreamBrokenError, match="Odd"):
        await _body(await peer.invocation.reply)


async def test_a_connection_lost_midway_breaks_the_stream() -> None:
    peer = Peer()
    peer.send(peer.head, chunk(prelude_multi_value(200, [])), chunk(b"half"))
    peer.connection.connection_lost(None)
    with pytest.raises(StreamBrokenError, match="ended in the middle of its response"):
        await _body(await peer.invocation.reply)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([chunk(b'{"statusCode": 200}'), b"0\r\n\r\n"], "ended within its prelude"),
        ([chunk(b"no json" + b"\0" * 8), chunk(b"more" * 5000), b"0\r\n\r\n"], "the prelude is not JSON"),
    ],
)
async def test_a_stream_without_a_prelude_fails(pieces: list[bytes], reason: str) -> None:
    peer = Peer()
    peer.send(peer.head, *pieces)
    with pytest.raises(InvocationFailedError, match=reason):
        await peer.invocation.reply


async def test_a_stream_of_another_content_type_fails() -> None:
    peer = Peer()
    peer.send(peer.head.replace(b"application/vnd.awslambda.http-integration-response", b"text/plain"))
    with pytest.raises(InvocationFailedError, match="not 'text/plain'"):
        await peer.invocation.reply


async def test_a_response_without_the_echo_of_its_invocation_fails() -> None:
    peer = Peer()
    peer.post(f"invocation/{peer.invocation.id}/response", b"{}")
    with pytest.raises(InvocationFailedError, match="did not echo Lambda-Runtime-Invocation-Id"):
        await peer.invocation.reply
    assert peer.status == 400


async def test_a_second_answer_and_one_to_another_invocation_are_refused() -> None:
    peer = Peer()
    echo = f"Lambda-Runtime-Invocation-Id: {peer.invocation.invocation_id}\r\n"
    peer.post("invocation/another/response", b"{}", echo)
    assert peer.status == 400
    peer.post(f"invocation/{peer.invocation.id}/response", b'{"statusCode": 200}', echo)
    assert isinstance(await peer.invocation.reply, BufferedReply)
    peer.transport.written = b""
    peer.post(f"invocation/{peer.invocation.id}/response", b'{"statusCode": 500}', echo)
    assert peer.status == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"errorType": "T", "errorMessage": "m"}', "T: m"),
        (b"not json", "not json"),
        (b"[]", r"\[\]"),
    ],
)
async def test_a_reported_error_is_the_reason_of_the_failure(body: bytes, reason: str) -> None:
    peer = Peer()
    echo = f"Lambda-Runtime-Invocation-Id: {peer.invocation.invocation_id}\r\n"
    peer.post(f"invocation/{peer.invocation.id}/error", body, echo)
    with pytest.raises(InvocationFailedError, match=reason):
        await peer.invocation.reply


async def test_an_unknown_operation_is_not_found() -> None:
    peer = Peer()
    peer.post("invocation/x/unknown", b"{}")
    assert peer.status == 404


async def test_what_is_not_http_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.send(b"\x16\x03\x01 not http\r\n\r\n")
    assert peer.transport.is_aborted
    assert "not HTTP/1.1" in caplog.text


async def test_init_errors_and_waiting_reach_the_environment() -> None:
    peer = Peer()
    peer.post("init/error", b'{"errorType": "T", "errorMessage": "no start"}')
    peer.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n")
    assert (peer.worker.init_errors, peer.worker.waits) == (["T: no start"], 1)


async def test_a_worker_lost_while_it_reports_is_an_init_error() -> None:
    peer = Peer()
    peer.send(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
    peer.connection.connection_lost(None)
    assert peer.worker.init_errors == ["the environment ended while it reported an error"]
