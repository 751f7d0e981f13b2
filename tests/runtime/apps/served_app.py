"""The ASGI app that workers serve in these tests: one behaviour per path, chosen by the last dictionary of this file."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import lambda_stream

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Made at import, used in every invocation: works only when all of them run on one loop.
_ACROSS_INVOCATIONS: asyncio.Queue[str] = asyncio.Queue()
_RESTORED: list[str] = []


async def start(send: Send, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers or [(b"content-type", b"text/plain")]})


async def body(send: Send, data: bytes, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


class Gate:
    """The side channel to the test: a line out, a line in."""

    def __init__(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        self._socket = socket.create_connection(("127.0.0.1", int(headers[b"x-gate-port"])), timeout=20)
        self._socket.settimeout(20)

    async def tell(self, line: bytes) -> None:
        self._socket.sendall(line + b"\n")

    async def wait(self) -> bytes:
        return await asyncio.to_thread(self._socket.recv, 1)

    def close(self) -> None:
        self._socket.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """What the app saw, as JSON."""
    request = await receive()
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": request["body"].hex(),
        "more_body": request["more_body"],
        "pid": os.getpid(),
        "loop": id(asyncio.get_running_loop()),
        "event_path": scope["aws.event"].get("path"),
        "request_id": scope["aws.context"].aws_request_id,
        "deadline_ms": scope["aws.deadline_ms"],
        "remaining_ms": scope["aws.context"].get_remaining_time_in_millis(),
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
        "client": list(scope["client"]),
    }
    await start(send, headers=[(b"content-type", b"application/json")])
    await body(send, json.dumps(seen).encode())


async def ticks(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    for number in range(3):
        await body(send, b"tick %d\n" % number, more=True)
    await body(send, b"")


async def gated(scope: Scope, receive: Receive, send: Send) -> None:
    """Every chunk waits until the test has the one before."""
    gate = Gate(scope)
    await start(send, headers=[(b"x-pid", str(os.getpid()).encode())])
    await body(send, b"", more=True)
    for number in range(5):
        await gate.wait()
        await body(send, b"chunk %d" % number, more=True)
    await gate.wait()
    await body(send, b"")
    gate.close()


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells the test that it runs, waits, goes on writing, and tells that it is done."""
    gate = Gate(scope)
    await start(send, headers=[(b"x-pid", str(os.getpid()).encode())])
    await body(send, b"first", more=True)
    await gate.tell(b"runs")
    await gate.wait()
    for _ in range(50):
        await body(send, b"x" * 1000, more=True)
    await body(send, b"last")
    await gate.tell(b"done")
    gate.close()


async def before_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells the test that it runs and answers when it may."""
    gate = Gate(scope)
    await gate.tell(b"runs")
    await gate.wait()
    gate.close()
    await start(send)
    await body(send, b"answered")


async def after(scope: Scope, receive: Receive, send: Send) -> None:
    """After-response work of every kind, each held by the test."""
    gate = Gate(scope)

    async def step(name: bytes) -> None:
        await gate.wait()
        await gate.tell(name)

    def fails() -> None:
        raise ValueError("this work fails")

    lambda_stream.after_response(lambda: step(b"async callable"))
    lambda_stream.after_response(fails)
    lambda_stream.after_response(step(b"coroutine"))
    lambda_stream.after_response(gate.close)
    await start(send)
    await body(send, b"whole answer")
    await step(b"rest of the app")


async def many(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    for number in range(100_000):
        await body(send, b"data: %d\n\n" % number, more=True)
    await body(send, b"")


async def binary(scope: Scope, receive: Receive, send: Send) -> None:
    request = await receive()
    await start(send, headers=[(b"content-type", b"application/octet-stream")])
    data = request["body"]
    for position in range(0, len(data), 1000):
        await body(send, data[position : position + 1000], more=True)
    await body(send, b"")


async def headers_of_all_kinds(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [
        (b"Content-Type", b"text/plain"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2; HttpOnly"),
        (b"x-many", b"one"),
        (b"x-many", b"two"),
        (b"x-latin", b"caf\xe9"),
    ]
    await start(send, 201, headers)
    await body(send, b"created")


async def cookies(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; HttpOnly")])
    await body(send, b"set")


async def threads(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
    await body(send, " ".join(names).encode())


async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 204, [])
    await body(send, b"")


async def zero_length(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    for piece in (b"", b"a", b"", b"", b"b", b""):
        await body(send, piece, more=True)
    await body(send, b"")


async def fail_first(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("before the first byte")


async def fail_started(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    raise LookupError("started, no byte yet")


async def fail_first_with_much(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("é" * 9_000_000)


async def fail_midway(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"half", more=True)
    raise LookupError("midway")


async def fail_midway_with_much(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"half", more=True)
    raise LookupError('"é\n' * 100_000)


async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"whole")
    raise LookupError("after the end")


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def unfinished(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"half", more=True)


async def exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


async def exits_midway(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"half", more=True)
    raise SystemExit(3)


async def task_exits_midway(scope: Scope, receive: Receive, send: Send) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    await start(send)
    await body(send, b"half", more=True)
    await asyncio.gather(leave(), asyncio.Event().wait())


async def task_exits_first(scope: Scope, receive: Receive, send: Send) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    await asyncio.gather(leave(), asyncio.Event().wait())


async def large_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"x-large", b"v" * 9000)])
    await body(send, b"never seen")


async def hang(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"x-pid", str(os.getpid()).encode())])
    await body(send, b"half", more=True)
    await asyncio.Event().wait()


async def hang_first(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def put(scope: Scope, receive: Receive, send: Send) -> None:
    await _ACROSS_INVOCATIONS.put("put by an earlier invocation")
    await start(send)
    await body(send, b"put")


async def get(scope: Scope, receive: Receive, send: Send) -> None:
    found = await asyncio.wait_for(_ACROSS_INVOCATIONS.get(), 10)
    await start(send)
    await body(send, found.encode())


async def disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Its second `receive` ends with the response and not before."""
    await receive()
    waiting = asyncio.ensure_future(receive())
    await start(send)
    await body(send, b"waiting" if not waiting.done() else b"ended early", more=True)
    await body(send, b"")
    assert (await waiting)["type"] == "http.disconnect"


async def restored(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, ", ".join(_RESTORED).encode())


async def too_large_buffered(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"x" * (7 * 1024 * 1024))


async def short_of_its_length(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"content-length", b"100")])
    await body(send, b"only this")


def _register_snapshot_hooks() -> None:
    @lambda_stream.before_snapshot
    def first_registered() -> None:
        _RESTORED.append("before 1")

    @lambda_stream.before_snapshot
    async def last_registered() -> None:
        _RESTORED.append(f"before 2 on {type(asyncio.get_running_loop()).__name__[-4:]}")

    @lambda_stream.after_restore
    async def restored_first() -> None:
        await asyncio.sleep(0)
        _RESTORED.append("after 1")

    @lambda_stream.after_restore
    def restored_last() -> None:
        if os.environ.get("FAIL_AFTER_RESTORE"):
            raise LookupError("the restore hook failed")
        _RESTORED.append("after 2")


_register_snapshot_hooks()

_BEHAVIOURS: tuple[Callable[[Scope, Receive, Send], Awaitable[None]], ...] = (
    echo,
    ticks,
    gated,
    told,
    before_answer,
    after,
    many,
    binary,
    headers_of_all_kinds,
    cookies,
    threads,
    empty,
    zero_length,
    fail_first,
    fail_started,
    fail_first_with_much,
    fail_midway,
    fail_midway_with_much,
    fail_late,
    silent,
    unfinished,
    exits,
    exits_midway,
    task_exits_midway,
    task_exits_first,
    large_headers,
    hang,
    hang_first,
    put,
    get,
    disconnect,
    restored,
    too_large_buffered,
    short_of_its_length,
)
_PATHS: dict[str, App] = {getattr(behaviour, "__name__", "").replace("_", "-"): behaviour for behaviour in _BEHAVIOURS}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Chooses by the first segment of the path; unknown ones are a 404 of the app's own."""
    chosen = _PATHS.get(scope["path"].strip("/").partition("/")[0])
    if chosen is not None:
        await chosen(scope, receive, send)
    else:
        await start(send, 404)
        await body(send, b"no such behaviour")


def not_an_app(event: object, context: object) -> None:
    """A plain Lambda handler, which this runtime refuses."""
