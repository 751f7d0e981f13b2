"""`Idempotency-Key`: the upstream is asked once, whatever the client does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import httpx2
import openai
import pytest
from tests.edge.idempotent import ANSWER
from tests.support.faulty import Fault, FaultyStore
from tests.support.gateway import KEY, Harness, RealClock, deployment, gateway
from tests.support.upstream import STREAM_HEAD, Cut, Hang, Upstream, chunk, event, upstream, whole

from pllm.core.clock import ManualClock
from pllm.core.secret import Secret
from pllm.edge.app import Gateway
from pllm.edge.auth import Authenticator
from pllm.edge.idempotency import idempotent
from pllm.state.idempotency import Idempotency
from pllm.state.memory import MemoryStore

BODY = {"model": "m", "messages": [{"role": "user", "content": "2+2"}]}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}


def delta(text: str, finish: str | None = None) -> bytes:
    return event(CHUNK | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


STREAM = (delta("fo"), delta("ur", "stop"), event("[DONE]"))


class Setting:
    """A gateway with a table that can be made to fail."""

    def __init__(self, harness: Harness, up: Upstream) -> None:
        self.up = up
        self.harness = harness
        self.clock = ManualClock()
        self.memory = MemoryStore()
        self.store = FaultyStore(self.memory)
        numbers = count(1)
        self.keeper = Idempotency(self.store, self.clock, lambda: f"owner{next(numbers)}")
        self.client = self.client_of(self.keeper)

    def client_of(self, keeper: Idempotency | None, key: str = KEY) -> httpx2.AsyncClient:
        edge = self.harness.edge
        routes = idempotent(edge.routes, keeper, self.harness.lines.append, lambda limits: None)
        app = Gateway(replace(edge, routes=routes, authenticator=Authenticator(Secret(key)), clock=RealClock()))
        return self.harness.against(app)

    async def ask(self, key: str | None = "k1", path: str = "/v1/chat/completions", **changes: Any) -> httpx2.Response:
        headers = {"idempotency-key": key} if key is not None else {}
        return await self.client.post(path, content=json.dumps(BODY | changes), headers=headers)


@asynccontextmanager
async def setting(hedge_after_s: float | None = None, **deployment_changes: Any) -> AsyncIterator[Setting]:
    async with (
        upstream() as up,
        gateway([deployment(up.base_url, **deployment_changes)], hedge_after_s=hedge_after_s) as harness,
    ):
        here = Setting(harness, up)
        yield here
        await here.client.aclose()


async def test_a_repeated_request_is_answered_as_the_first_and_not_sent_on() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        first, again = await here.ask(), await here.ask()
        assert (again.status_code, again.content) == (200, first.content)
        assert len(here.up.requests) == 1
        assert "x-pllm-idempotent" not in first.headers
        assert again.headers["x-pllm-idempotent"] == "replayed"
        for name in ("content-type", "x-pllm-model", "x-pllm-provider", "x-pllm-deployment", "x-pllm-attempts"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["x-pllm-first-request-id"] == first.headers["x-request-id"]
        assert here.harness.log()["idempotent"] == "replayed"
        assert here.harness.log()["status"] == 200


async def test_a_name_in_another_script_is_replayed_as_it_was_first_told() -> None:
    async with setting(id="模型 50%") as here:
        here.up.will_answer(ANSWER)
        first, again = await here.ask(), await here.ask()
        assert first.headers["x-pllm-deployment"] == "%E6%A8%A1%E5%9E%8B 50%25"
        assert again.headers["x-pllm-deployment"] == first.headers["x-pllm-deployment"]


async def test_nothing_is_asked_of_the_table_without_the_header() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.ask(None)
        await here.ask(None)
        assert (here.store.calls, len(here.up.requests)) == (0, 2)


async def test_other_keys_and_other_callers_run_their_own() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.ask("k1")
        await here.ask("k2")
        assert len(here.up.requests) == 2


async def test_a_request_that_runs_is_a_conflict_that_says_when_to_ask_again() -> None:
    async with setting() as here:
        go = asyncio.Event()
        here.up.will(Hang(go), whole(json.dumps(ANSWER).encode(), content_type="application/json"))
        running = asyncio.create_task(here.ask())
        await here.up.asked.wait()
        meanwhile = await here.ask()
        assert (meanwhile.status_code, meanwhile.json()["error"]["code"]) == (409, "idempotent_request_running")
        assert meanwhile.headers["retry-after"] == "2"
        go.set()
        first = await running
        assert (await here.ask()).content == first.content
        assert len(here.up.requests) == 1


@pytest.mark.parametrize("change", [{"path": "/v1/completions", "prompt": "x"}, {"temperature": 1}])
async def test_another_request_under_the_same_key_is_refused(change: dict[str, Any]) -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.ask()
        other = await here.ask(**change)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
        assert len(here.up.requests) == 1


async def test_the_mirror_of_a_path_is_the_same_request() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        await here.ask()
        assert (await here.ask(path="/api/v1/chat/completions")).headers["x-pllm-idempotent"] == "replayed"


async def test_a_stream_is_replayed_as_the_stream_it_was() -> None:
    async with setting() as here:
        here.up.will_stream(*STREAM)
        first, again = await here.ask(stream=True), await here.ask(stream=True)
        assert first.headers["content-type"] == again.headers["content-type"]
        assert again.content == first.content
        assert b"[DONE]" in again.content
        assert "content-length" not in again.headers
        assert len(here.up.requests) == 1


@pytest.mark.parametrize("hedge_after_s", [None, 5.0], ids=["alone", "with a second attempt in reserve"])
async def test_a_stream_that_broke_is_not_kept_and_frees_its_key(hedge_after_s: float | None) -> None:
    async with setting(hedge_after_s) as here:
        here.up.will(STREAM_HEAD, chunk(STREAM[0]), Cut())
        here.up.will_stream(*STREAM)
        broken = await here.ask(stream=True)
        assert b"[DONE]" not in broken.content
        assert b"[DONE]" in (await here.ask(stream=True)).content
        assert (await here.ask(stream=True)).headers["x-pllm-idempotent"] == "replayed"
        assert len(here.up.requests) == 2


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failure_that_may_pass_is_not_kept(status: int) -> None:
    async with setting() as here:
        here.up.will_answer({"error": {"message": "no"}}, status)
        here.up.will_answer(ANSWER)
        assert (await here.ask()).status_code >= 500
        assert (await here.ask()).status_code == 200
        assert len(here.up.requests) == 2


async def test_a_rate_limit_is_not_kept() -> None:
    async with setting() as here:
        here.up.will_answer({"error": {"message": "slow down"}}, 429)
        for _ in range(2):  # the deployment is left alone for a while: that is asked anew each time
            limited = await here.ask()
            assert (limited.status_code, "x-pllm-idempotent" in limited.headers) == (429, False)
        [claim] = here.memory.items.values()
        assert (claim["st"], claim["until"]) == ("running", 0)


async def test_a_final_no_of_the_upstream_is_kept() -> None:
    async with setting() as here:
        here.up.will_answer({"error": {"message": "too hot", "type": "invalid_request_error", "param": "temperature"}}, 400)
        first, again = await here.ask(temperature=9), await here.ask(temperature=9)
        assert (first.status_code, again.status_code) == (400, 400)
        assert first.json() == again.json()
        assert again.headers["x-pllm-idempotent"] == "replayed"
        assert len(here.up.requests) == 1


async def test_a_request_that_reached_no_upstream_frees_its_key() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        assert (await here.ask(model="unknown")).status_code == 404
        assert (await here.ask()).status_code == 200


async def test_a_bug_of_ours_frees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        with monkeypatch.context() as patch:
            patch.setattr("pllm.edge.generation.model_of", lambda body: 1 / 0)
            assert (await here.ask()).status_code == 500
        assert (await here.ask()).status_code == 200


async def test_a_crash_frees_the_key_when_the_longest_request_would_be_over() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        here.store.faults = [Fault.NONE]
        here.store.always = Fault.THROTTLED  # the claim is made, and nothing after it
        assert (await here.ask()).status_code == 200
        here.store.always = Fault.NONE
        here.clock.advance(900)
        assert (await here.ask()).status_code == 409
        here.clock.advance(62)
        assert (await here.ask()).status_code == 200
        assert (await here.ask()).headers["x-pllm-idempotent"] == "replayed"
        assert len(here.up.requests) == 2


async def test_an_answer_that_could_not_be_kept_is_given_and_said_so_in_the_log() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        here.store.faults = [Fault.NONE]
        here.store.always = Fault.THROTTLED
        assert (await here.ask()).status_code == 200
        [line] = [line for line in here.harness.lines if line.get("message") == "idempotent answer not kept"]
        assert line["why"] == "throttled"


async def test_without_the_table_nothing_is_promised_and_nothing_runs() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        here.store.always = Fault.THROTTLED
        refused = await here.ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert here.up.requests == []


async def test_a_deployment_that_has_no_table_says_so() -> None:
    async with setting() as here:
        async with here.client_of(None) as client:
            refused = await client.post("/v1/chat/completions", json=BODY, headers={"idempotency-key": "k"})
        assert (refused.status_code, "PLLM_TABLE" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "é", "a\tb"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    async with setting() as here:
        headers = [(b"idempotency-key", key.encode("latin-1"))]
        refused = await here.client.post("/v1/chat/completions", json=BODY, headers=headers)
        assert refused.status_code == 400
        assert "Idempotency-Key" in refused.json()["error"]["message"]


async def test_two_keys_at_once_are_refused() -> None:
    async with setting() as here:
        headers = [("idempotency-key", "a"), ("idempotency-key", "b")]
        assert (await here.client.post("/v1/chat/completions", json=BODY, headers=headers)).status_code == 400


async def test_an_answer_that_is_too_large_says_so_and_is_not_paid_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.edge.idempotency.MOST_BYTES", 50)
    async with setting() as here:
        here.up.will_answer(ANSWER)
        first, again = await here.ask(), await here.ask()
        assert (first.status_code, first.headers["x-pllm-idempotent"]) == (200, "not-kept")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotent_answer_not_kept")
        assert "more than 50 bytes compressed" in again.json()["error"]["message"]
        assert len(here.up.requests) == 1


async def test_a_stream_that_is_too_large_comes_whole_the_first_time_and_is_not_paid_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its head is on its way before anybody knows how large it will be."""
    monkeypatch.setattr("pllm.edge.idempotency.MOST_BYTES", 50)
    async with setting() as here:
        here.up.will_stream(*STREAM)
        first, again = await here.ask(stream=True), await here.ask(stream=True)
        assert first.status_code == 200
        assert first.content.endswith(b"data: [DONE]\n\n")
        assert again.headers["content-type"] == "application/json"
        assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotent_answer_not_kept")
        assert "use a new key" in again.json()["error"]["message"]
        assert len(here.up.requests) == 1


async def test_a_form_that_is_sent_again_with_another_boundary_is_the_same_request() -> None:
    async with setting() as here:
        here.up.will_answer({"text": "hello"})
        answers = []
        for boundary in ("aaaa", "bbbbbb"):
            form = "".join(
                f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
                for name, more, value in (("model", "", "m"), ("file", '; filename="a.wav"', "RIFF"))
            )
            headers = {"idempotency-key": "k", "content-type": f"multipart/form-data; boundary={boundary}"}
            content = f"{form}--{boundary}--\r\n".encode()
            answers.append(await here.client.post("/v1/audio/transcriptions", content=content, headers=headers))
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[1].headers["x-pllm-idempotent"] == "replayed"
        assert len(here.up.requests) == 1


async def test_the_anthropic_dialect_gets_its_own_words() -> None:
    async with setting() as here:
        here.up.will_answer(ANSWER)
        message = {"model": "m", "max_tokens": 9, "messages": BODY["messages"]}
        headers = {"idempotency-key": "k"}
        first = await here.client.post("/v1/messages", json=message, headers=headers)
        again = await here.client.post("/v1/messages", json=message, headers=headers)
        other = await here.client.post("/v1/messages", json=message | {"max_tokens": 8}, headers=headers)
        assert again.json() == first.json()
        assert (other.status_code, other.json()["type"]) == (422, "error")


async def test_the_sdk_of_openai_retries_and_the_upstream_is_asked_once() -> None:
    """The first answer is lost on its way; the SDK asks again by itself, meets the running request, and gets its answer."""
    async with setting() as here:
        here.up.will_answer(ANSWER)
        lost = _LosesAnswers(here.client, 2)
        async with httpx2.AsyncClient(transport=lost, base_url="http://gateway") as http:
            sdk = openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=http, max_retries=3)
            answer = await sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "2+2"}], extra_headers={"Idempotency-Key": "order-7"}
            )
        assert answer.choices[0].message.content == "four"
        assert len(here.up.requests) == 1


class _LosesAnswers(httpx2.AsyncBaseTransport):
    """A network that loses the first answers, but no request."""

    def __init__(self, client: httpx2.AsyncClient, lost: int) -> None:
        self._client = client
        self._lost = lost

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        answer = await self._client.request(request.method, request.url, content=body, headers=request.headers)
        if self._lost:
            self._lost -= 1
            raise httpx2.ReadError("lost")
        return answer
