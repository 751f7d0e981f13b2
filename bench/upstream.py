"""The upstream of every measurement: canned bytes from a process of its own, so that its share is small and known.

`python -m bench.upstream` prints its port. What it answers is named by the first segment of the path: `/json` a completion of
2 KB, `/burst-N` a stream of N events written at once one by one, `/paced-N` the same, one event a millisecond. Below a segment
it speaks OpenAI Chat, or Bedrock's Converse for paths that end in /converse-stream. A request that holds a token
(`bench-` and 8 characters) gets it back in every piece of its answer: so an answer that belongs to somebody else is seen.
"""

import asyncio
import json
import re
from functools import cache

from bench import frames

_PLACE = b"bench-@@@@@@@@"
_TOKEN = re.compile(rb"bench-[0-9a-f]{8}")
_PACE_S = 0.001
_STREAM = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n"


@cache
def whole_answer() -> bytes:
    """A chat completion of 2 KB, head included."""
    message = {"role": "assistant", "content": _PLACE.decode() + " lorem ipsum" * 142, "refusal": None}
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 300, "total_tokens": 800},
    }
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chat_event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    event = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench"}
    return b"data: " + json.dumps(event | {"choices": [choice]}).encode() + b"\n\n"


@cache
def chat_stream(events: int, with_usage: bool) -> tuple[bytes, ...]:
    """The writes of a Chat stream: its head, `events` pieces of text, and what ends it."""
    usage = b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],'
    usage += b'"usage":{"prompt_tokens":500,"completion_tokens":300,"total_tokens":800}}\n\n'
    pieces = [_chat_event({"role": "assistant", "content": ""}, None)]
    pieces += [_chat_event({"content": f" {_PLACE.decode()}.{number:04}"}, None) for number in range(events)]
    pieces += [_chat_event({}, "stop"), *([usage] if with_usage else []), b"data: [DONE]\n\n"]
    return (_STREAM.format("text/event-stream").encode(), *map(_chunk, pieces), b"0\r\n\r\n")


@cache
def converse_stream(events: int) -> tuple[bytes, ...]:
    """The writes of a Converse stream. Frames carry checksums, so its text is the same for everybody."""
    head = _STREAM.format("application/vnd.amazon.eventstream").encode()
    return (head, *(_chunk(frame) for frame in frames.converse(events)), b"0\r\n\r\n")


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) >= size:
            self._buffer = rest[size:]
            self._answer(head.split(b" ", 2)[1].decode(), rest[:size])

    def _answer(self, path: str, body: bytes) -> None:
        assert self._transport is not None
        kind, _, count = path.split("/")[1].partition("-")
        found = _TOKEN.search(body)
        token = found[0] if found else _PLACE
        if kind == "json":
            self._transport.write(whole_answer().replace(_PLACE, token))
            return
        if path.endswith("/converse-stream"):
            writes, token = converse_stream(int(count)), _PLACE
        else:
            writes = chat_stream(int(count), b'"include_usage"' in body)
        if kind == "paced":
            self._pace(list(writes), token)
            return
        for piece in writes:
            self._transport.write(piece.replace(_PLACE, token))

    def _pace(self, writes: list[bytes], token: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._transport.write(writes.pop(0).replace(_PLACE, token))
        if writes:
            asyncio.get_running_loop().call_later(_PACE_S, self._pace, writes, token)


async def _main() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
