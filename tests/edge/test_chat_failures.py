"""What can go wrong with an answer, before its first byte and after it, and what the client is told."""

import asyncio
from typing import Any

import openai
import pytest
from tests.edge.chat_stream import DONE, delta, events, failure
from tests.support.gateway import KEY, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Hang, chunk, event, upstream, whole

# --- What can go wrong before the first byte ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_429_keeps_its_class_code_and_retry_after(stream: bool) -> None:
    error = {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"error": error}, 429, retry_after="17")
        response = await gw.chat(stream=stream)
        assert response.status_code == 429
        assert response.headers["retry-after"] == "17"
        assert response.json()["error"]["code"] == "rate_limit_exceeded"
        assert "slow down" in response.json()["error"]["message"]


async def test_the_providers_auth_trouble_is_not_the_clients() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"error": {"message": "Incorrect API key provided: sk-upst***", "type": "invalid_request_error"}}, 401)
        status, _ = await failure(gw)
        assert status == 502
        assert gw.log()["error"] == "upstream_authentication"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_500_with_html_is_an_openai_error(stream: bool) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(whole(b"<html><body>Internal Server Error</body></html>", 500, content_type="text/html"))
        status, error = await failure(gw, stream=stream)
        assert status == 500
        assert error["type"]
        assert "<html>" not in error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_200_with_html_is_not_an_answer(stream: bool) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(whole(b"<html>Welcome to the captive portal</html>", 200, content_type="text/html"))
        status, error = await failure(gw, stream=stream)
        assert (status, error["code"]) == (502, "upstream_protocol")


async def test_a_refused_connection_is_a_502_that_names_the_host() -> None:
    async with gateway([deployment("http://127.0.0.1:1")]) as gw:
        status, error = await failure(gw)
        assert (status, error["code"]) == (502, "upstream_unreachable")
        assert "127.0.0.1:1" in error["message"]


@pytest.mark.parametrize("name", ["anthropic-beta", "openai-beta"])
async def test_a_header_that_cannot_be_sent_on_is_the_clients_fault_and_not_the_providers(name: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post(
            "/v1/chat/completions",
            json={"model": "m", "messages": [{"role": "user", "content": "hi"}]},
            headers={name: "beta\x01\x7f"},
        )
        assert response.status_code == 400
        assert response.json()["error"]["param"] == name
        assert gw.log()["attempts"] == 0


async def test_plain_text_behind_https_is_a_tls_failure() -> None:
    async with upstream() as up, gateway([deployment(up.base_url.replace("http:", "https:"))]) as gw:
        up.greeting = b"HTTP/1.1 400 plain text was spoken here\r\n\r\n"
        status, error = await failure(gw)
        assert (status, error["code"]) == (502, "upstream_unreachable")


async def test_an_upstream_that_hangs_up_without_a_word_is_a_502() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(Cut())
        status, error = await failure(gw)
        assert (status, error["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_does_not_answer_in_time_is_a_504(stream: bool) -> None:
    async with upstream() as up, gateway([deployment(up.base_url, timeout_s=0.2)]) as gw:
        up.will(Hang())
        status, error = await failure(gw, stream=stream)
        assert (status, error["code"]) == (504, "upstream_timeout")
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_an_answer_cut_short_is_a_502() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{", Cut())
        status, error = await failure(gw)
        assert (status, error["code"]) == (502, "stream_broken")


async def test_an_error_object_as_the_first_event_is_a_real_status() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(event({"error": {"message": "overloaded", "code": 503}}))
        response = await gw.chat(stream=True)
        assert response.status_code >= 500
        assert "overloaded" in response.json()["error"]["message"]


# --- What can go wrong after it -------------------------------------------------------------------------------------


def assert_explicitly_broken(text: str) -> dict[str, Any]:
    got = events(text)
    assert "[DONE]" not in got
    assert "error" in got[-1]
    assert all("error" not in e for e in got[:-1])
    assert all(e["choices"][0].get("finish_reason") is None for e in got[:-1] if e.get("choices"))
    error: dict[str, Any] = got[-1]["error"]
    return error


@pytest.mark.parametrize(
    "end",
    [
        pytest.param((Cut(),), id="connection cut between events"),
        pytest.param((chunk(b'data: {"choices": [{"ind'), Cut()), id="connection cut inside an event"),
        pytest.param((chunk(b'data: {"choices": [{"ind'), b"0\r\n\r\n"), id="body ends inside an event"),
        pytest.param((b"0\r\n\r\n",), id="body ends without an end marker"),
        pytest.param((chunk(b"data: {malformed\n\n"), chunk(DONE), b"0\r\n\r\n"), id="malformed event"),
        pytest.param((chunk(event({"error": {"message": "boom"}})), b"0\r\n\r\n"), id="error object inside"),
        pytest.param((chunk(b"data: <html>502</html>\n\n"), b"0\r\n\r\n"), id="html inside"),
    ],
)
async def test_a_stream_that_breaks_ends_with_an_error_and_never_with_done(end: tuple[Any, ...]) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("par"), delta("tial"), end=(Hang(gw.committed), *end))
        response = await gw.chat(stream=True)
        assert response.status_code == 200
        assert_explicitly_broken(response.text)
        assert gw.log()["broken"] is True
        assert gw.emf()["StreamBroken"] == 1
        assert gw.emf()["Errors"] == 1


async def test_an_error_that_comes_with_the_first_event_is_still_a_real_status() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(STREAM_HEAD, chunk(delta("x") + event({"error": {"message": "boom", "code": 500}})), b"0\r\n\r\n")
        assert (await gw.chat(stream=True)).status_code >= 500


async def test_a_stream_that_stalls_ends_with_an_error_after_its_idle_timeout() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, stream_idle_timeout_s=0.5)]) as gw:
        up.will_stream(delta("x"), end=(Hang(),))
        error = assert_explicitly_broken((await gw.chat(stream=True)).text)
        assert error["code"] == "upstream_timeout"
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_a_stream_past_the_deployments_timeout_ends_with_an_error() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, timeout_s=0.5)]) as gw:
        up.will_stream(delta("x"), end=(Hang(),))
        error = assert_explicitly_broken((await gw.chat(stream=True)).text)
        assert error["code"] == "upstream_timeout"
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_openais_sdk_raises_on_a_broken_stream() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("par"), end=(Cut(),))
        sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)
        stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_an_event_after_done_is_ignored() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("x"), delta(finish="stop"), DONE, delta("ghost"))
        got = events((await gw.chat(stream=True)).text)
        assert got[-1] == "[DONE]"
        assert len(got) == 3
