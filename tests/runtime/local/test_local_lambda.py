"""The local Lambda from a client's side: real HTTP in, real worker processes, real HTTP out."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.runtime.local.serving import served_function, serving
from tests.runtime.support.coverage import coverage_variables
from tests.runtime.support.folders import APPS, RUNTIME
from tests.runtime.support.gates import GateServer

from lambda_stream.local import Limits, Route

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[httpx.AsyncClient]:
    """A client of one local Lambda that the simple tests of this module share."""
    async with serving() as (_, client):
        yield client


shares_a_server = pytest.mark.asyncio(loop_scope="module")


@shares_a_server
async def test_a_request_arrives_as_it_was_sent(shared: httpx.AsyncClient) -> None:
    answer = await shared.post(
        "/echo/caf%C3%A9/a%2Fb?q=%E2%82%AC&q=2", content=b"\x00\xff", headers=[("X-Many", "1"), ("X-Many", "2")]
    )
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/echo/café/a/b", "q=%E2%82%AC&q=2")
    assert bytes.fromhex(seen["body"]) == b"\x00\xff"
    assert [value for name, value in seen["headers"] if name == "x-many"] == ["1", "2"]
    assert seen["client"][0] == "127.0.0.1"
    assert seen["function"] == "served"
    assert 890_000 < seen["remaining_ms"] <= 900_000


@shares_a_server
async def test_cookies_and_repeated_headers_arrive_one_by_one(shared: httpx.AsyncClient) -> None:
    answer = await shared.get("/headers-of-all-kinds")
    assert answer.status_code == 201
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
    assert answer.headers.get_list("x-many") == ["one", "two"]
    assert answer.headers["x-latin"] == "café"


@shares_a_server
async def test_binary_bodies_pass_both_ways(shared: httpx.AsyncClient) -> None:
    data = os.urandom(300_000)
    answer = await shared.post("/binary", content=data, headers={"content-type": "application/octet-stream"})
    assert answer.content == data


@shares_a_server
async def test_a_hundred_thousand_small_events_arrive_in_order(shared: httpx.AsyncClient) -> None:
    answer = await shared.get("/many")
    assert answer.content == b"".join(b"data: %d\n\n" % number for number in range(100_000))


@shares_a_server
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/empty", 204), ("GET", "/nowhere", 404), ("HEAD", "/ticks", 200), ("HEAD", "/fail-midway", 200)],
)
async def test_answers_of_every_kind_end_and_leave_the_connection_usable(
    shared: httpx.AsyncClient, method: str, target: str, status: int
) -> None:
    answer = await shared.request(method, target)
    assert answer.status_code == status
    assert answer.headers["x-amzn-requestid"]
    assert (await shared.get("/ticks")).status_code == 200


@shares_a_server
@pytest.mark.parametrize("target", ["/fail-first", "/fail-started", "/silent", "/exits", "/large-headers"])
async def test_a_function_without_an_answer_is_a_502_as_api_gateway_gives_it(shared: httpx.AsyncClient, target: str) -> None:
    answer = await shared.get(target)
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


@shares_a_server
@pytest.mark.parametrize(
    "target", ["/fail-midway", "/fail-midway-with-much", "/unfinished", "/exits-midway", "/task-exits-midway"]
)
async def test_a_stream_that_breaks_in_the_worker_is_broken_for_the_client(shared: httpx.AsyncClient, target: str) -> None:
    received = b""
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        async with shared.stream("GET", target) as answer:
            async for piece in answer.aiter_raw():
                received += piece
    assert received == b"half"
    assert (await shared.get("/ticks")).text == "tick 0\ntick 1\ntick 2\n"


@shares_a_server
async def test_an_exception_after_the_end_leaves_the_answer_whole(shared: httpx.AsyncClient) -> None:
    assert (await shared.get("/fail-late")).text == "whole"


@shares_a_server
async def test_a_body_shorter_than_its_announced_length_is_broken_for_the_client(shared: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await shared.get("/short-of-its-length")


async def test_pieces_arrive_one_by_one_each_before_the_next_is_made(gate: GateServer) -> None:
    async with serving() as (_, client), client.stream("GET", "/gated", headers=gate.headers) as answer:
        # The head is here though the app waits with its first bytes until we say so.
        assert answer.status_code == 200
        held = await gate.opened()
        pieces = answer.aiter_raw()
        for number in range(5):
            held.let_pass()
            assert await asyncio.wait_for(anext(pieces), 20) == b"chunk %d" % number
        held.let_pass()
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)


async def test_the_client_has_its_whole_answer_before_after_response_work_begins(gate: GateServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        async with serving(environments=1, output=output) as (_, client):
            answer = await client.get("/after", headers=gate.headers)
            assert answer.text == "whole answer"
            held = await gate.opened()
            following = asyncio.ensure_future(client.get("/ticks"))
            for name in ("rest of the app", "async callable", "coroutine"):
                assert not following.done()
                held.let_pass()
                assert await held.hear() == name
            assert await held.hear() == ""
            assert (await following).status_code == 200
    assert "ValueError: this work fails" in log.read_text()


async def test_a_client_that_goes_away_does_not_stop_the_function(gate: GateServer) -> None:
    async with serving() as (_, client):
        async with client.stream("GET", "/told", headers=gate.headers) as answer:
            assert await anext(answer.aiter_raw()) == b"first"
        held = await gate.opened()
        assert await held.hear() == "runs"
        held.let_pass()
        assert await held.hear() == "done"
        assert (await client.get("/ticks")).status_code == 200


async def test_a_client_that_goes_away_before_the_answer_does_not_stop_the_function(gate: GateServer) -> None:
    async with serving(environments=1) as (_, client):
        leaving = asyncio.ensure_future(client.get("/told", headers=gate.headers))
        held = await gate.opened()
        leaving.cancel()
        assert await held.hear() == "runs"
        held.let_pass()
        assert await held.hear() == "done"
        assert (await client.get("/ticks")).status_code == 200


async def test_routes_lead_to_their_functions_and_unknown_paths_are_refused_as_api_gateway_does() -> None:
    functions = (served_function("data"), served_function("control", env={"ANY": "thing"}))
    routes = (Route("control", "/echo/admin"), Route("data", "/echo"))
    async with serving(*functions, routes=routes) as (_, client):
        assert (await client.get("/echo/admin/x")).json()["function"] == "control"
        assert (await client.get("/echo/x")).json()["function"] == "data"
        refused = await client.get("/elsewhere")
        assert (refused.status_code, refused.json()) == (403, {"message": "Missing Authentication Token"})


@shares_a_server
async def test_a_client_that_leaves_while_it_sends_is_no_error(
    shared: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(shared.base_url.host, shared.base_url.port)
    writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    assert (await shared.get("/echo")).status_code == 200  # by now the other one is being read
    writer.close()
    await writer.wait_closed()
    assert (await shared.get("/echo")).status_code == 200
    assert caplog.text == ""


async def test_a_request_above_the_limits_gets_413() -> None:
    async with serving(limits=Limits(request_body_bytes=5000, event_bytes=4000)) as (_, client):
        announced = await client.post("/echo", content=b"x" * 6000)
        streamed = await client.post("/echo", content=_pieces(6000))
        in_the_event = await client.post("/echo", content=b"x" * 4500)
        fitting = await client.post("/echo", content=b"x" * 1000)
    assert [answer.status_code for answer in (announced, streamed, in_the_event, fitting)] == [413, 413, 413, 200]
    assert "larger than 5000 bytes" in announced.json()["message"]
    assert "larger than Lambda's 4000 bytes" in in_the_event.json()["message"]


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_the_python_of_newer_managed_runtimes_waits_for_events_in_one_kept_thread() -> None:
    function = served_function(env={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    async with serving(function, environments=1) as (_, client):
        assert {(await client.get("/threads")).text for _ in range(3)} == {"next-invocation_0"}


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_a_malformed_request_gets_400_and_the_server_lives(request_bytes: bytes) -> None:
    async with serving() as (server, client):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request_bytes)
        status_line = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        assert b" 400 " in status_line
        assert (await client.get("/ticks")).status_code == 200


async def test_buffered_mode_answers_through_proxy_json(gate: GateServer, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(served_function(mode="buffered"), environments=1) as (_, client):
        assert (await client.get("/ticks")).text == "tick 0\ntick 1\ntick 2\n"
        cookies = await client.get("/cookies")
        assert cookies.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
        octets = await client.post("/binary", content=b"\xff\x00\xfe")
        assert octets.content == b"\xff\x00\xfe"
        too_large = await client.get("/too-large-buffered")
        assert (too_large.status_code, (await client.get("/ticks")).status_code) == (502, 200)
    assert "the buffered response is larger than 6291456 bytes" in caplog.text


async def test_after_response_work_runs_in_buffered_mode_after_the_answer(gate: GateServer) -> None:
    async with serving(served_function(mode="buffered")) as (_, client):
        answering = asyncio.ensure_future(client.get("/after", headers=gate.headers))
        held = await gate.opened()
        # What the app does after its last message belongs to the answer here: nothing streams.
        held.let_pass()
        assert await held.hear() == "rest of the app"
        assert (await answering).text == "whole answer"
        for name in ("async callable", "coroutine"):
            held.let_pass()
            assert await held.hear() == name


async def test_a_request_target_in_absolute_form_is_served() -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET http://localhost/echo/x?a=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert b'"path": "/echo/x", "query": "a=1"' in answer


# What runs in the background of a shell, tests too, is born deaf to Ctrl-C.
INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("lambda_stream.local", run_name="__main__", alter_sys=True)
"""


async def test_one_command_serves_an_app_until_it_is_interrupted() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-c",
            INTERRUPTIBLE,
            "environment_app.app",
            "--port",
            "0",
            "--code",
            str(APPS),
            "--env",
            "GIVEN=1",
            "--buffered",
        ),
        env={"PYTHONPATH": str(RUNTIME), "PATH": os.environ["PATH"]} | coverage_variables(),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line = (await asyncio.wait_for(process.stderr.readline(), 20)).decode().strip()
    assert line.startswith("serving environment_app.app on http://127.0.0.1:")
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        seen = (await client.get(line.rpartition(" ")[2])).json()
    assert (seen["GIVEN"], seen["LAMBDA_STREAM_MODE"]) == ("1", "buffered")
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 20) == 0
