"""Clients that are large, many, hasty, broken or hostile, against `pllm local`: each gets an answer or a closed connection,
none a hang or an error without a shape, and the next client is served as if nothing had been."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from tests.support.processes import COLD_S, LOCAL_KEY, Running, pllm_local

BEARER = {"authorization": f"Bearer {LOCAL_KEY}"}
AUTHORIZED = f"Host: x\r\nAuthorization: Bearer {LOCAL_KEY}\r\nContent-Type: application/json\r\n"
_SAYS = "[demo upstream, no model] You said: "


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with pllm_local("--model", "demo", "--workers", "4") as running:
        yield running


def chat(words: str, **more: Any) -> bytes:
    return json.dumps({"model": "local", "messages": [{"role": "user", "content": words}], **more}).encode()


def post(body: bytes, headers: str = "") -> bytes:
    return f"POST /v1/chat/completions HTTP/1.1\r\n{AUTHORIZED}{headers}\r\n".encode() + body


def sized(body: bytes) -> bytes:
    return post(body, f"Content-Length: {len(body)}\r\n")


def get(target: str, headers: str = AUTHORIZED) -> bytes:
    return f"GET {target} HTTP/1.1\r\n{headers}\r\n".encode()


@dataclass
class Answer:
    """One answer on a raw connection."""

    status: int
    body: bytes

    def told(self) -> str:
        """The message of an error, in the gateway's shape or in API Gateway's."""
        told = json.loads(self.body)
        message: str = told["error"]["message"] if "error" in told else told["message"]
        return message


class Raw:
    """A connection without an HTTP library: it can be as wrong as it likes. Every read has a limit, so a hang is a failure.
    A server that has heard enough may hang up before everything is sent: that is seen where its answer is read."""

    def __init__(self, running: Running) -> None:
        address = urlsplit(running.url)
        self.socket = socket.create_connection((address.hostname or "", address.port or 0), timeout=COLD_S)
        self._buffer = b""

    def send(self, data: bytes) -> "Raw":
        with suppress(ConnectionError):
            self.socket.sendall(data)
        return self

    def no_more(self) -> "Raw":
        with suppress(OSError):  # not connected any more
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, *, head_only: bool = False) -> Answer | None:
        """The next answer; None when the connection was closed instead."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        status = int(head.split(b" ", 2)[1])
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if head_only or status in (100, 204, 304):
            return Answer(status, b"")
        if length:
            return Answer(status, self._exactly(int(length[1])))
        return Answer(status, self._chunked())

    def ended(self) -> bool:
        """Whether the server closes without another byte."""
        return self._buffer == b"" and self._received(1) == b""

    def _chunked(self) -> bytes:
        body = b""
        while (line := self._until(b"\r\n")) is not None:
            size = int(line, 16)
            piece = self._exactly(size + 2)[:-2]
            if size == 0:
                return body
            body += piece
        raise AssertionError("the answer broke off")

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._buffer:
            received = self._received(65536)
            if not received:
                assert not self._buffer, self._buffer
                return None
            self._buffer += received
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _received(self, size: int) -> bytes:
        """What has come; nothing once the server has closed, gently or not."""
        try:
            return self.socket.recv(size)
        except ConnectionResetError:
            return b""

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            received = self._received(1 << 20)
            assert received, "the answer broke off"
            self._buffer += received
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found


@pytest.fixture
def raw(gateway: Running) -> Iterator[Raw]:
    """Whatever the test did to its connection, the gateway serves the next one at once."""
    connection = Raw(gateway)
    with closing(connection.socket):
        yield connection
    after = httpx.get(f"{gateway.url}/v1/models/local", headers=BEARER, timeout=COLD_S)
    assert after.status_code == 200


# Large and many.


def test_two_clients_send_and_receive_five_megabytes_each_at_once(gateway: Running) -> None:
    def ask(letter: str) -> str:
        words = letter * 5_000_000
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=chat(words), headers=BEARER, timeout=60)
        assert answer.status_code == 200, answer.text[:500]
        said: str = answer.json()["choices"][0]["message"]["content"]
        return said

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, "ab")
    assert first == _SAYS + "a" * 5_000_000
    assert second == _SAYS + "b" * 5_000_000


def test_a_stream_may_hold_one_event_of_five_megabytes(gateway: Running) -> None:
    words = "ü" * 2_500_000
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=LOCAL_KEY) as sdk:
        stream = sdk.chat.completions.create(model="local", messages=[{"role": "user", "content": words}], stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == _SAYS + words


async def test_a_hundred_streams_at_once_over_four_workers_are_each_their_own(gateway: Running) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, headers=BEARER, timeout=60) as client:

        async def ask(number: int) -> str:
            async with client.stream(
                "POST", "/v1/chat/completions", content=chat(f"number {number} only", stream=True)
            ) as answer:
                assert answer.status_code == 200
                lines = [line[6:] async for line in answer.aiter_lines() if line.startswith("data: ")]
            assert lines.pop() == "[DONE]"
            chunks = [json.loads(line)["choices"] for line in lines]
            return "".join(choice["delta"].get("content") or "" for choices in chunks for choice in choices)

        said = await asyncio.gather(*(ask(number) for number in range(100)))
    assert said == [f"{_SAYS}number {number} only" for number in range(100)]


def test_two_hundred_silent_connections_keep_nobody_out(gateway: Running, raw: Raw) -> None:
    silent = [Raw(gateway) for _ in range(200)]
    half = [Raw(gateway).send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n") for _ in range(50)]
    answer = raw.send(get("/v1/models")).answer()
    assert answer is not None
    assert answer.status == 200
    for connection in silent + half:
        connection.socket.close()


def test_clients_that_leave_in_the_middle_of_a_stream_free_their_worker(gateway: Running, raw: Raw) -> None:
    for _ in range(8):
        leaver = Raw(gateway).send(sized(chat("one two three four five six seven eight", stream=True)))
        assert leaver.socket.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        leaver.socket.close()
    answer = raw.send(sized(chat("still there?"))).answer()
    assert answer is not None
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == f"{_SAYS}still there?"


# Right, but unusual.


def test_a_half_closed_connection_gets_its_answer_or_is_closed(raw: Raw) -> None:
    answer = raw.send(sized(chat("hi"))).no_more().answer()
    assert answer is None or answer.status == 200


def test_pipelined_requests_are_answered_in_order(raw: Raw) -> None:
    raw.send(get("/v1/models/local") + sized(chat("two")) + get("/health") + get("/nothing"))
    answers = [raw.answer() for _ in range(4)]
    assert [answer.status for answer in answers if answer] == [200, 200, 200, 404]
    assert answers[1] is not None
    assert b"You said: two" in answers[1].body


def test_a_body_in_chunks_is_read(raw: Raw) -> None:
    body = chat("in pieces")
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    answer = raw.send(post(pieces + b"0\r\nX-Trailer: 1\r\n\r\n", "Transfer-Encoding: chunked\r\n")).answer()
    assert answer is not None
    assert b"You said: in pieces" in answer.body


def test_a_client_that_expects_100_continue_gets_it(raw: Raw) -> None:
    body = chat("may I?")
    raw.send(post(b"", f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"))
    go_on = raw.answer()
    assert go_on is not None
    assert go_on.status == 100
    answer = raw.send(body).answer()
    assert answer is not None
    assert b"You said: may I?" in answer.body


def test_a_body_may_come_byte_by_byte(raw: Raw) -> None:
    for byte in sized(chat("slow")):
        raw.send(bytes([byte]))
    answer = raw.answer()
    assert answer is not None
    assert b"You said: slow" in answer.body


def test_an_http_1_0_client_is_served(raw: Raw) -> None:
    raw.send(f"GET /v1/models HTTP/1.0\r\n{AUTHORIZED}\r\n".encode())
    answer = raw.answer()
    assert answer is not None
    assert answer.status == 200
    assert raw.ended()


@pytest.mark.parametrize(("target", "status"), [("/health", 405), ("/v1/models", 405), ("/nothing", 404)])
def test_head_has_no_body_and_keeps_the_connection_in_step(raw: Raw, target: str, status: int) -> None:
    raw.send(f"HEAD {target} HTTP/1.1\r\n{AUTHORIZED}\r\n".encode())
    answer = raw.answer(head_only=True)
    assert answer is not None
    assert answer.status in (200, status)
    following = raw.send(get("/health")).answer()
    assert following is not None
    assert following.body == b'{"status":"ok"}'


@pytest.mark.parametrize("target", ["/v1/chat/completions", "*", "/health"])
def test_options_is_answered(raw: Raw, target: str) -> None:
    answer = raw.send(f"OPTIONS {target} HTTP/1.1\r\n{AUTHORIZED}\r\n".encode()).answer()
    assert answer is not None
    assert answer.status < 500


@pytest.mark.parametrize(
    "path",
    ["/v1/models/m%C3%B6dell", "/v1/models/%E2%82%AC/%F0%9F%98%80", "/v1/models/%ff%fe", "/v1/models/a%2Fb", "/v1/models/%00"],
)
def test_an_encoded_unicode_path_is_an_unknown_model(raw: Raw, path: str) -> None:
    answer = raw.send(get(path)).answer()
    assert answer is not None
    assert answer.status == 404
    assert "does not exist" in answer.told()


@pytest.mark.parametrize(
    "path", ["/v1/models/mödell", "/v1//models", "/v1/../v1/models", "/v1/models?x=%", "/v1/models#x", "/%"]
)
def test_a_path_as_it_should_not_be_sent_has_an_answer(raw: Raw, path: str) -> None:
    answer = raw.send(get(path)).answer()
    assert answer is not None
    assert answer.status < 500


def test_a_path_of_ten_thousand_characters_has_an_answer(raw: Raw) -> None:
    answer = raw.send(get("/v1/models/" + "x" * 10_000)).answer()
    assert answer is not None
    assert answer.status in (400, 404, 414)


def test_a_header_of_eight_kilobytes_is_taken(raw: Raw) -> None:
    answer = raw.send(get("/v1/models", f"{AUTHORIZED}X-Long: {'y' * 8_000}\r\n")).answer()
    assert answer is not None
    assert answer.status == 200


def test_a_hundred_headers_are_taken(raw: Raw) -> None:
    many = "".join(f"X-Header-{number}: {number}\r\n" for number in range(100))
    answer = raw.send(get("/v1/models", AUTHORIZED + many)).answer()
    assert answer is not None
    assert answer.status == 200


# Wrong.


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /v1/models\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\nHost: x\r\n\r\n",
        b"BREW /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://elsewhere/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: " + b"z" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"p" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_what_is_not_a_request_is_refused_or_hung_up_on(raw: Raw, sent: bytes) -> None:
    answer = raw.send(sent).no_more().answer()
    assert answer is None or 400 <= answer.status < 500, answer


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"{", "line 1"),
        (b"[" * 100_000, "deep"),
        (b'{"model": "local", "messages": ' + b"[" * 100_000, "deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deep"),
        (b'{"model": "local", "seed": ' + b"9" * 10_000 + b"}", "digits"),
        (b'{"model": "local", "temperature": NaN}', "NaN"),
        (b'{"model": "local", "temperature": 1e400}', "1e400"),
        ('{"model": "local"}'.encode("utf-16"), "UTF-8"),
        (b'{"model": "\xff"}', "UTF-8"),
        (b'"a string"', "object"),
        (b"null", "object"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "UTF-8"),
        (b'{"model": ["local"], "messages": []}', "model"),
        (b'{"model": "local", "messages": "hello"}', "messages"),
        (b'{"model": "local", "stream": "yes", "messages": []}', "stream"),
    ],
)
def test_a_body_that_cannot_be_served_is_a_400_that_says_why(raw: Raw, body: bytes, says: str) -> None:
    answer = raw.send(sized(body)).answer()
    assert answer is not None
    assert answer.status == 400
    assert says in answer.told()


def test_a_body_above_the_limit_is_a_413_while_it_is_still_being_sent(gateway: Running, raw: Raw) -> None:
    answer = raw.send(post(b"x" * 1000, "Content-Length: 99999999\r\n")).answer()
    assert answer is not None
    assert answer.status == 413
    whole = httpx.post(f"{gateway.url}/v1/chat/completions", content=chat("x" * 6_500_000), headers=BEARER, timeout=60)
    assert whole.status_code == 413


def test_an_integer_that_no_float_can_hold_is_passed_on(raw: Raw) -> None:
    answer = raw.send(sized(chat("big", seed=123456789012345678901234567890))).answer()
    assert answer is not None
    assert answer.status == 200
