"""POST /v1/chat/completions against an upstream that does what the test says, byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from tests.edge.chat_stream import DONE, delta, events, failure
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, chunk, event, upstream, whole

from pllm.core.profile import ModelProfile
from pllm.edge.app import Edge, Gateway

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 3}},
    "x_new_field": {"kept": True},
}
USAGE = event(
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "g",
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
)


async def test_an_answer_passes_with_every_field_it_had() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat(custom_knob={"a": [1]}, stop="END")
        assert response.status_code == 200
        assert response.json() == ANSWER
        sent = up.requests[0]
        assert sent.path == "/v1/chat/completions"
        assert sent.headers["authorization"] == "Bearer sk-upstream"
        assert sent.json() == {
            "model": "gpt-x",
            "messages": [{"role": "user", "content": "hi"}],
            "custom_knob": {"a": [1]},
            "stop": "END",
        }


async def test_an_answer_says_who_gave_it() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        headers = (await gw.chat()).headers
        assert headers["x-request-id"] == "req-1"
        assert headers["x-pllm-model"] == "m"
        assert headers["x-pllm-provider"] == "openai"
        assert headers["x-pllm-deployment"] == "m/1"
        assert headers["x-pllm-attempts"] == "1"
        assert float(headers["x-pllm-overhead-ms"]) >= 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_name_in_any_script_is_percent_encoded_in_the_headers(fails: bool) -> None:
    async with upstream() as up, gateway([deployment(up.base_url, id="模型/é 50%", model_name="模型")]) as gw:
        up.will(whole(b"no", 500)) if fails else up.will_answer(ANSWER)
        headers = (await gw.chat(model="模型")).headers
        assert headers["x-pllm-model"] == "%E6%A8%A1%E5%9E%8B"
        assert headers["x-pllm-deployment"] == "%E6%A8%A1%E5%9E%8B/%C3%A9 50%25"
        assert unquote(headers["x-pllm-deployment"]) == "模型/é 50%"


async def test_the_mirror_under_api_answers_the_same() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        assert (await gw.client.post("/api/v1/chat/completions", content=body)).json() == ANSWER


async def test_a_stream_hides_the_usage_that_only_we_asked_for() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("he"), delta("llo"), delta(finish="stop"), USAGE, DONE)
        response = await gw.chat(stream=True)
        got = events(response.text)
        assert up.requests[0].json()["stream_options"] == {"include_usage": True}
        assert [e["choices"][0]["delta"].get("content") for e in got[:-1]] == ["he", "llo", None]
        assert got[-1] == "[DONE]"
        assert gw.log()["prompt_tokens"] == 5
        assert gw.log()["completion_tokens"] == 2


async def test_a_stream_shows_usage_to_a_client_that_asked() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("x"), delta(finish="stop"), USAGE, DONE)
        got = events((await gw.chat(stream=True, stream_options={"include_usage": True})).text)
        assert got[-2]["usage"]["total_tokens"] == 7
        assert got[-1] == "[DONE]"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_characters_split_between_chunks_arrive_whole(size: int) -> None:
    data = delta("grüße 🎈 日本") + delta(finish="stop") + DONE
    pieces = [chunk(data[i : i + size]) for i in range(0, len(data), size)]
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(STREAM_HEAD, *pieces, b"0\r\n\r\n")
        assert "grüße 🎈 日本" in events((await gw.chat(stream=True)).text)[0]["choices"][0]["delta"]["content"]


# --- Failover -------------------------------------------------------------------------------------------------------


async def test_the_next_deployment_answers_when_the_first_cannot() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will(whole(b"no", 503))
        good.will_answer(ANSWER)
        first = deployment(bad.base_url, id="m/bad", priority=1)
        second = deployment(good.base_url, id="m/good", priority=2)
        async with gateway([second, first]) as gw:
            response = await gw.chat()
            assert response.status_code == 200
            assert response.headers["x-pllm-deployment"] == "m/good"
            assert response.headers["x-pllm-attempts"] == "2"
            assert gw.log()["failed_attempts"] == ["m/bad: upstream_overloaded"]


async def test_a_stream_fails_over_until_its_first_event() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will_stream(b": processing\n\n", end=(Cut(),))
        good.will_stream(delta("ok"), delta(finish="stop"), DONE)
        first = deployment(bad.base_url, id="m/bad", priority=1)
        async with gateway([first, deployment(good.base_url, id="m/good", priority=2)]) as gw:
            response = await gw.chat(stream=True)
            assert events(response.text)[-1] == "[DONE]"
            assert response.headers["x-pllm-deployment"] == "m/good"


async def test_a_request_the_provider_calls_wrong_is_not_sent_again() -> None:
    async with upstream() as first, upstream() as second:
        first.will_answer({"error": {"message": "bad temperature", "param": "temperature"}}, 400)
        second.will_answer(ANSWER)
        one = deployment(first.base_url, id="m/a", priority=1)
        async with gateway([one, deployment(second.base_url, id="m/b", priority=2)]) as gw:
            status, error = await failure(gw)
            assert (status, error["param"]) == (400, "temperature")
            assert second.requests == []


async def test_the_same_deployment_is_retried_after_the_pause_it_asked_for() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], retries=2) as gw:
        up.will_answer({"error": {"message": "slow"}}, 429, retry_after="2")
        up.will_answer(ANSWER)
        assert (await gw.chat()).status_code == 200
        assert len(up.requests) == 2
        assert gw.naps and gw.naps[0] >= 2


async def test_a_pause_longer_than_we_wait_goes_to_the_client() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], retries=2) as gw:
        up.will_answer({"error": {"message": "tomorrow"}}, 429, retry_after="3600")
        response = await gw.chat()
        assert response.headers["retry-after"] == "3600"
        assert len(up.requests) == 1


async def test_a_refused_credential_is_not_tried_twice() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], retries=3) as gw:
        up.will_answer({"error": {"message": "no"}}, 401)
        assert (await gw.chat()).status_code == 502
        assert len(up.requests) == 1


async def test_an_alias_tries_its_models_in_order() -> None:
    async with upstream() as bad, upstream() as good:
        bad.will(whole(b"", 500))
        good.will_answer(ANSWER)
        both = [deployment(bad.base_url, id="a/1", model_name="a"), deployment(good.base_url, id="b/1", model_name="b")]
        async with gateway(both, aliases={"smart": ("a", "b")}) as gw:
            response = await gw.chat(model="smart")
            assert response.headers["x-pllm-deployment"] == "b/1"


# --- What the client got wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"model": "m",\n "messages": [}', "line 2, column 15"),
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b'{"model": "m", "messages": [], "temperature": NaN}', "NaN"),
        (b'\xff{"model": 1}', "UTF-8"),
        (b"[" * 200_000, "nested"),
        (b'{"messages": []}', "'model' is missing"),
        (b'{"model": 7}', "'model' must be"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": "hi"}', "messages"),
        (b'{"model": "m", "messages": [1]}', "messages"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}', "'stream'"),
    ],
)
async def test_a_bad_body_is_a_400_that_says_what_and_where(body: bytes, words: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post("/v1/chat/completions", content=body)
        assert response.status_code == 400
        error = response.json()["error"]
        assert words in error["message"]
        assert error["type"] == "invalid_request_error"
        assert up.requests == []


async def test_a_body_over_the_limit_is_a_413() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post("/v1/chat/completions", content=b"x" * (6 * 1024 * 1024 + 1))
        assert response.status_code == 413
        assert "is 6291457 bytes, larger than the 6291456 bytes" in response.json()["error"]["message"]


async def test_a_lower_limit_of_the_configuration_holds_whether_the_length_is_announced_or_not() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    async with upstream() as up, gateway([deployment(up.base_url)]) as gw, gw.against(Gateway(_small(gw))) as client:
        announced = await client.post("/v1/chat/completions", content=b"x" * 501)
        streamed = await client.post("/v1/chat/completions", content=pieces())
        assert [one.status_code for one in (announced, streamed)] == [413, 413]
        assert "is 501 bytes, larger than the 500 bytes" in announced.json()["error"]["message"]
        assert "is at least 600 bytes, larger than the 500 bytes" in streamed.json()["error"]["message"]
        assert (await client.post("/v1/chat/completions", content=b"x" * 500)).status_code == 400
        assert up.requests == []


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "٣", "1e3"])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        headers = [(b"content-length", length.encode()), (b"authorization", f"Bearer {KEY}".encode())]
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{", "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        await Gateway(gw.edge)(scope, receive, send)
        assert messages[0]["status"] == 400
        assert up.requests == []


def _small(gw: Harness) -> Edge:
    return replace(gw.edge, max_body_bytes=500)


async def test_an_unknown_model_is_a_404_that_names_near_ones_and_is_no_metric() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, model_name="my-gpt-4")]) as gw:
        response = await gw.chat(model="my-gtp-4")
        assert response.status_code == 404
        assert "'my-gpt-4'" in response.json()["error"]["message"]
        assert "model" not in gw.emf()


async def test_our_key_and_the_clients_words_stay_out_of_the_lines() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        await gw.chat(messages=[{"role": "user", "content": "my secret diagnosis"}])
        written = json.dumps(gw.lines)
        for forbidden in ("diagnosis", "hello", KEY, "sk-upstream"):
            assert forbidden not in written


async def test_two_clients_at_once_get_their_own_answers() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        for _ in range(20):
            up.will_answer(ANSWER)
        answers = await asyncio.gather(*(gw.chat() for _ in range(20)))
        assert [a.status_code for a in answers] == [200] * 20


async def test_a_schema_that_a_chat_model_cannot_honour_is_imitated_and_said_so() -> None:
    profile = ModelProfile(structured_output="tool", known=True)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    async with upstream() as up, gateway([deployment(up.base_url, profile=profile)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat(response_format=wanted)
        body = up.requests[0].json()
        assert "response_format" not in body
        assert body["tools"]
        assert response.headers.get("x-pllm-emulated")
