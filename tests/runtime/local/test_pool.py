"""The environments of the local Lambda: how many there are, how they start, die and are replaced."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import httpx
import pytest
from tests.runtime.local.serving import served_function, serving
from tests.runtime.support.gates import GateServer

from lambda_stream.local import Limits, LocalLambda, Route
from lambda_stream.local.replies import InvocationFailedError

pytestmark = pytest.mark.slow


async def test_two_requests_run_in_two_environments_at_once(gate: GateServer) -> None:
    async with serving() as (server, client):
        both = [asyncio.ensure_future(client.get("/before-answer", headers=gate.headers)) for _ in range(2)]
        held = [await gate.opened(), await gate.opened()]
        assert [await one.hear() for one in held] == ["runs", "runs"]
        assert len({environment.pid for environment in server.pools["served"].environments}) == 2
        for one in held:
            one.let_pass()
        assert [(await answer).text for answer in both] == ["answered", "answered"]


async def test_a_request_beyond_the_environments_waits_and_one_beyond_the_queue_gets_429(gate: GateServer) -> None:
    async with serving(environments=1, limits=Limits(queue_length=1)) as (_, client):
        first = asyncio.ensure_future(client.get("/before-answer", headers=gate.headers))
        held = await gate.opened()
        two_more = [asyncio.ensure_future(client.get("/ticks")) for _ in range(2)]
        (refused,), (waiting,) = await asyncio.wait(two_more, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result().status_code, refused.result().json()) == (429, {"message": "Too Many Requests"})
        held.let_pass()
        assert ((await first).text, (await waiting).status_code) == ("answered", 200)


async def test_a_worker_killed_midway_breaks_its_stream_and_the_next_request_gets_a_new_one() -> None:
    async with serving() as (_, client):
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            async with client.stream("GET", "/hang") as answer:
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"half"
                pid = int(answer.headers["x-pid"])
                os.kill(pid, signal.SIGKILL)
                await anext(pieces)
        assert (await client.get("/echo")).json()["pid"] != pid


async def test_a_worker_that_dies_while_it_waits_is_replaced() -> None:
    async with serving(environments=1) as (server, client):
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
    async with serving(served_function(python=str(runtime))) as (_, client):
        assert [(await client.get("/")).status_code for _ in range(2)] == [502, 502]
    assert "asked for the next event without an answer to this one" in caplog.text


async def test_a_worker_killed_before_its_answer_is_a_502(gate: GateServer) -> None:
    async with serving() as (server, client):
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
    async with serving(served_function(timeout_s=1.5)) as (_, client):
        if target == "/hang":
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(target)
        else:
            assert (await client.get(target)).status_code == 502
        assert (await client.get("/ticks")).status_code == 200
    assert "Task timed out after 1.50 seconds" in caplog.text


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
    async with serving(served_function(handler=handler)) as (_, client):
        answers = [await client.get("/ticks") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 502]
    assert reason in caplog.text


async def test_a_worker_that_never_becomes_ready_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(served_function(python="/bin/cat"), limits=Limits(init_timeout_s=0.5)) as (_, client):
        assert (await client.get("/ticks")).status_code == 502
    async with serving(served_function(python="/no/such/python")) as (_, client):
        assert (await client.get("/ticks")).status_code == 502
    assert "the worker could not be started" in caplog.text


async def test_snapshot_hooks_run_around_the_restore_on_the_environments_loop() -> None:
    function = served_function(env={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
    async with serving(function) as (_, client):
        assert (await client.get("/restored")).text == "before 2 on Loop, before 1, after 1, after 2"


async def test_a_failing_restore_hook_fails_the_restore(caplog: pytest.LogCaptureFixture) -> None:
    function = served_function(env={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "FAIL_AFTER_RESTORE": "1"})
    async with serving(function) as (_, client):
        assert (await client.get("/restored")).status_code == 502
    assert "LookupError: the restore hook failed" in caplog.text


async def test_workers_see_only_what_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THIS_SHELL", "x")
    async with serving(served_function(handler="environment_app.app", env={"GIVEN": "1"}, memory_mb=512)) as (_, client):
        seen = json.loads((await client.get("/")).text)
    assert "A_SECRET_OF_THIS_SHELL" not in seen
    expected = {"GIVEN": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "LAMBDA_STREAM_MODE": "stream", "TZ": ":UTC"}
    assert expected.items() <= seen.items()


async def test_closing_fails_what_still_waits(gate: GateServer) -> None:
    server = LocalLambda([served_function()], [Route("served")], max_environments=1)
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
        async with LocalLambda([served_function()], [Route("served")]) as server:
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
