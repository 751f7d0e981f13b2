"""The local Lambda from a client's side: real HTTP in, real worker processes, real HTTP out."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import httpx
import pytest
import pytest_asyncio
from tests.runtime.support.coverage import coverage_variables
from tests.runtime.support.folders import APPS, RUNTIME
from tests.runtime.support.gates import GateServer

from lambda_stream.local import FunctionSpec, Limits, LocalLambda, Route
from lambda_stream.local.replies import InvocationFailedError

pytestmark = pytest.mark.slow


def _function(
    name: str = "served", handler: str = "served_app.app", env: dict[str, str] | None = None, **fields: Any
) -> FunctionSpec:
    return FunctionSpec(name, handler, coverage_variables() | (env or {}), code_paths=(str(APPS),), **fields)


@asynccontextmanager
async def _serving(
    *functions: FunctionSpec,
    routes: tuple[Route, ...] = (),
    environments: int = 2,
    limits: Limits | None = None,
    output: IO[bytes] | None = None,
) -> AsyncIterator[tuple[LocalLambda, httpx.AsyncClient]]:
    functions = functions or (_function(),)
    lead = routes or (Route(functions[0].name),)
    async with (
        LocalLambda(functions, lead, max_environments=environments, limits=limits, output=output) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        yield server, client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[httpx.AsyncClient]:
    """A client of one local Lambda that the simple tests of this module share."""
    async with _serving() as (_, client):
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
    async with _serving() as (_, client), client.stream("GET", "/gated", headers=gate.headers) as answer:
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
        async with _serving(environments=1, output=output) as (_, client):
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


async def test_two_requests_run_in_two_environments_at_once(gate: GateServer) -> None:
    async with _serving() as (server, client):
        both = [asyncio.ensure_future(client.get("/before-answer", headers=gate.headers)) for _ in range(2)]
        held = [await gate.opened(), await gate.opened()]
        assert [await one.hear() for one in held] == ["runs", "runs"]
        assert len({environment.pid for environment in server.pools["served"].environments}) == 2
        for one in held:
            one.let_pass()
        assert [(await answer).text for answer in both] == ["answered", "answered"]


async def test_a_request_beyond_the_environments_waits_and_one_beyond_the_queue_gets_429(gate: GateServer) -> None:
    async with _serving(environments=1, limits=Limits(queue_length=1)) as (_, client):
        first = asyncio.ensure_future(client.get("/before-answer", headers=gate.headers))
        held = await gate.opened()
        two_more = [asyncio.ensure_future(client.get("/ticks")) for _ in range(2)]
        (refused,), (waiting,) = await asyncio.wait(two_more, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result().status_code, refused.result().json()) == (429, {"message": "Too Many Requests"})
        held.let_pass()
        assert ((await first).text, (await waiting).status_code) == ("answered", 200)


async def test_a_worker_killed_midway_breaks_its_stream_and_the_next_request_gets_a_new_one() -> None:
    async with _serving() as (_, client):
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            async with client.stream("GET", "/hang") as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"half"
                pid = int(answer.headers["x-pid"])
                os.kill(pid, signal.SIGKILL)
                await anext(pieces)
        assert (await client.get("/echo")).json()["pid"] != pid


async def test_a_worker_that_dies_while_it_waits_is_replaced() -> None:
    async with _serving(environments=1) as (server, client):
        pid = (await client.get("/echo")).json()["pid"]
        os.kill(pid, signal.SIGKILL)
        answers = [await client.get("/echo") for _ in range(2)]
        # Death and request may cross: then this one request fails, as it would in the cloud.
        assert answers[-1].json()["pid"] != pid
        assert len(server.pools["served"].environments) == 1


_ASKS_TWICE = """#!{python}
import http.client, os
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    connection.getresponse().read()
"""


async def test_a_runtime_that_asks_again_without_an_answer_has_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runtime = tmp_path / "runtime"
    runtime.write_text(_ASKS_TWICE.format(python=sys.executable))
    runtime.chmod(0o755)
    async with _serving(_function(python=str(runtime))) as (_, client):
        assert [(await client.get("/")).status_code for _ in range(2)] == [502, 502]
    assert "asked for the next event without an answer to this one" in caplog.text


async def test_a_worker_killed_before_its_answer_is_a_502(gate: GateServer) -> None:
    async with _serving() as (server, client):
        answer = asyncio.ensure_future(client.get("/before-answer", headers=gate.headers))
        await gate.opened()
        (environment,) = server.pools["served"].environments
        assert environment.pid is not None
        os.kill(environment.pid, signal.SIGKILL)
        assert (await answer).status_code == 502
        assert (await client.get("/ticks")).status_code == 200


@pytest.mark.parametrize("target", ["/hang", "/hang-first"])
async def test_a_function_beyond_its_timeout_is_ended(target: str, caplog: pytest.LogCaptureFixture) -> None:
    # Long enough for a worker that has just been started to answer what it can answer.
    async with _serving(_function(timeout_s=1.5)) as (_, client):
        if target == "/hang":
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(target)
        else:
            assert (await client.get(target)).status_code == 502
        assert (await client.get("/ticks")).status_code == 200
    assert "Task timed out after 1.50 seconds" in caplog.text


async def test_a_client_that_goes_away_does_not_stop_the_function(gate: GateServer) -> None:
    async with _serving() as (_, client):
        async with client.stream("GET", "/told", headers=gate.headers) as answer:
            assert await anext(answer.aiter_raw()) == b"first"
        held = await gate.opened()
        assert await held.hear() == "runs"
        held.let_pass()
        assert await held.hear() == "done"
        assert (await client.get("/ticks")).status_code == 200


async def test_a_client_that_goes_away_before_the_answer_does_not_stop_the_function(gate: GateServer) -> None:
    async with _serving(environments=1) as (_, client):
        leaving = asyncio.ensure_future(client.get("/told", headers=gate.headers))
        held = await gate.opened()
        leaving.cancel()
        assert await held.hear() == "runs"
        held.let_pass()
        assert await held.hear() == "done"
        assert (await client.get("/ticks")).status_code == 200


async def test_routes_lead_to_their_functions_and_unknown_paths_are_refused_as_api_gateway_does() -> None:
    functions = (_function("data"), _function("control", env={"ANY": "thing"}))
    routes = (Route("control", "/echo/admin"), Route("data", "/echo"))
    async with _serving(*functions, routes=routes) as (_, client):
        assert (await client.get("/echo/admin/x")).json()["function"] == "control"
        assert (await client.get("/echo/x")).json()["function"] == "data"
        refused = await client.get("/elsewhere")
        assert (refused.status_code, refused.json()) == (403, {"message": "Missing Authentication Token"})


async def test_a_request_above_the_limits_gets_413() -> None:
    async with _serving(limits=Limits(request_body_bytes=5000, event_bytes=4000)) as (_, client):
        announced = await client.post("/echo", content=b"x" * 6000)
        streamed = await client.post("/echo", content=_pieces(6000))
        in_the_event = await client.post("/echo", content=b"x" * 4500)
        fitting = await client.post("/echo", content=b"x" * 1000)
    assert [answer.status_code for answer in (announced, streamed, in_the_event, fitting)] == [413, 413, 413, 200]
    assert "larger than 5000 bytes" in announced.json()["message"]
    assert "larger than Lambda's 4000 bytes" in in_the_event.json()["message"]


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with _serving() as (server, _):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_the_python_of_newer_managed_runtimes_waits_for_events_in_one_kept_thread() -> None:
    function = _function(env={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    async with _serving(function, environments=1) as (_, client):
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
    async with _serving() as (server, client):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(request_bytes)
        status_line = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        assert b" 400 " in status_line
        assert (await client.get("/ticks")).status_code == 200


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("absent.app", "Runtime.ImportModuleError: Unable to import module 'absent'"),
        ("broken_import.app", "LookupError: this module does not load"),
        ("served_app.not_an_app", "LambdaStream.NotAnAsgiApp: served_app.not_an_app is not an ASGI app"),
    ],
)
async def test_a_function_that_cannot_start_is_a_502_and_its_reason_is_logged(
    handler: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with _serving(_function(handler=handler)) as (_, client):
        answers = [await client.get("/ticks") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert reason in caplog.text


async def test_a_worker_that_never_becomes_ready_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async with _serving(_function(python="/bin/cat"), limits=Limits(init_timeout_s=0.5)) as (_, client):
        assert (await client.get("/ticks")).status_code == 502
    async with _serving(_function(python="/no/such/python")) as (_, client):
        assert (await client.get("/ticks")).status_code == 502
    assert "the worker could not be started" in caplog.text


async def test_buffered_mode_answers_through_proxy_json(gate: GateServer, caplog: pytest.LogCaptureFixture) -> None:
    async with _serving(_function(mode="buffered"), environments=1) as (_, client):
        assert (await client.get("/ticks")).text == "tick 0\ntick 1\ntick 2\n"
        cookies = await client.get("/cookies")
        assert cookies.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]
        octets = await client.post("/binary", content=b"\xff\x00\xfe")
        assert octets.content == b"\xff\x00\xfe"
        too_large = await client.get("/too-large-buffered")
        assert (too_large.status_code, (await client.get("/ticks")).status_code) == (502, 200)
    assert "the buffered response is larger than 6291456 bytes" in caplog.text


async def test_after_response_work_runs_in_buffered_mode_after_the_answer(gate: GateServer) -> None:
    async with _serving(_function(mode="buffered")) as (_, client):
        answering = asyncio.ensure_future(client.get("/after", headers=gate.headers))
        held = await gate.opened()
        # What the app does after its last message belongs to the answer here: nothing streams.
        held.let_pass()
        assert await held.hear() == "rest of the app"
        assert (await answering).text == "whole answer"
        for name in ("async callable", "coroutine"):
            held.let_pass()
            assert await held.hear() == name


async def test_snapshot_hooks_run_around_the_restore_on_the_environments_loop() -> None:
    function = _function(env={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
    async with _serving(function) as (_, client):
        assert (await client.get("/restored")).text == "before 2 on Loop, before 1, after 1, after 2"


async def test_a_failing_restore_hook_fails_the_restore(caplog: pytest.LogCaptureFixture) -> None:
    function = _function(env={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "FAIL_AFTER_RESTORE": "1"})
    async with _serving(function) as (_, client):
        assert (await client.get("/restored")).status_code == 502
    assert "LookupError: the restore hook failed" in caplog.text


async def test_workers_see_only_what_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THIS_SHELL", "x")
    async with _serving(_function(handler="environment_app.app", env={"GIVEN": "1"}, memory_mb=512)) as (_, client):
        seen = json.loads((await client.get("/")).text)
    assert "A_SECRET_OF_THIS_SHELL" not in seen
    expected = {"GIVEN": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "LAMBDA_STREAM_MODE": "stream", "TZ": ":UTC"}
    assert expected.items() <= seen.items()


async def test_a_request_target_in_absolute_form_is_served() -> None:
    async with _serving() as (server, _):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET http://localhost/echo/x?a=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert b'"path": "/echo/x", "query": "a=1"' in answer


async def test_closing_fails_what_still_waits(gate: GateServer) -> None:
    server = LocalLambda([_function()], [Route("served")], max_environments=1)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        async with server:
            running = asyncio.ensure_future(client.get(f"{server.url}/before-answer", headers=gate.headers))
            await gate.opened()
            pool = server.pools["served"]
            waiting = pool.invoke(b"{}")
        with pytest.raises(InvocationFailedError, match="the local Lambda was closed"):
            await waiting.reply
        with pytest.raises(InvocationFailedError, match="the local Lambda was closed"):
            await pool.invoke(b"{}").reply
        assert (await running).status_code == 502


async def test_closing_ends_the_workers_and_breaks_what_is_in_flight() -> None:
    async with aiohttp.ClientSession() as session:
        async with LocalLambda([_function()], [Route("served")]) as server:
            answer = await session.get(f"{server.url}/hang")
            assert await answer.content.readany() == b"half"
            (environment,) = server.pools["served"].environments
            pid = environment.pid
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()
        answer.close()


async def test_one_command_serves_an_app_until_it_is_interrupted() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "lambda_stream.local",
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
