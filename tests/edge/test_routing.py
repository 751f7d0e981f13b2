"""Failover, breakers, routes, fallbacks and hedging, as a client of the whole gateway sees them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.faulty import Fault, FaultyStore
from tests.support.gateway import Harness, deployment, gateway
from tests.support.pair import answer, delta, two, who
from tests.support.upstream import Cut, Hang, Upstream, chunk, event, upstream, whole

from pllm.call import Call
from pllm.core.breaker import UNTIL_RELEASED_MS
from pllm.core.breaker_moves import force_open
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.config.schema import Route, RouteModel, Strategy
from pllm.core.errors import GatewayError
from pllm.core.profile import ModelProfile
from pllm.core.record import RequestRecord
from pllm.state.breakers import move_breaker
from pllm.state.memory import MemoryStore

TRIGGER_HAPPY = BreakerPolicy(min_failures=2, failure_ratio=0.5, cooldown_ms=60_000)
SHORT = BreakerPolicy(min_failures=1, failure_ratio=0.5, cooldown_ms=0)
TOO_LONG = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
REFUSED = {"error": {"message": "content filter", "type": "invalid_request_error", "code": "content_filter"}}


# --- The breaker ----------------------------------------------------------------------------------------------------


async def test_a_failing_deployment_is_left_alone_once_it_has_failed_often_enough() -> None:
    async with upstream() as bad, upstream() as good, gateway(two(bad, good), breaker=TRIGGER_HAPPY) as gw:
        bad.will(whole(b"no", 500))
        good.will_answer(answer("ok"))
        attempts = [(await gw.chat()).headers["x-pllm-attempts"] for _ in range(4)]
        assert attempts == ["2", "2", "1", "1"]
        assert len(bad.requests) == 2
        (said,) = [line for line in gw.lines if line.get("message") == "breaker opened"]
        assert (said["deployment"], said["why"], said["level"]) == ("m/bad", "upstream_error", "WARN")
        assert any(line.get("BreakerOpened") == 1 for line in gw.lines)


async def test_when_all_are_open_the_client_hears_when_to_come_back() -> None:
    async with upstream() as bad, gateway([deployment(bad.base_url)], breaker=TRIGGER_HAPPY) as gw:
        bad.will(whole(b"no", 503))
        statuses = [(await gw.chat()).status_code for _ in range(3)]
        assert statuses == [503, 503, 503]
        response = await gw.chat()
        assert 55 <= int(response.headers["retry-after"]) <= 60
        assert "left alone" in response.json()["error"]["message"]
        assert len(bad.requests) == 2


@pytest.mark.parametrize("until_s", [90, None])
async def test_what_an_administrator_took_out_is_asked_nothing_and_the_client_hears_who_did(until_s: int | None) -> None:
    store = MemoryStore()
    until_ms = UNTIL_RELEASED_MS if until_s is None else int((time.time() + until_s) * 1000)
    for one in ("m/bad", "m/good"):
        await store.update(move_breaker("main", one, force_open(0, 1, until_ms)))
    async with upstream() as first, upstream() as second, gateway(two(first, second), store=store) as gw:
        response = await gw.chat()
        assert (response.status_code, "retry-after" in response.headers) == (503, until_s is not None)
        assert "by an administrator" in response.json()["error"]["message"]
        assert first.requests == second.requests == []


@pytest.mark.parametrize("stream", [False, True])
async def test_one_request_probes_after_the_cooldown_and_its_success_closes(stream: bool) -> None:
    async with upstream() as flaky, upstream() as good, gateway(two(flaky, good), breaker=SHORT) as gw:
        flaky.will(whole(b"no", 500))
        good.will_answer(answer("ok"))
        await gw.chat()
        flaky.scripts.clear()
        if stream:
            flaky.will_stream(delta("x"), delta(finish="stop"), event("[DONE]"))
        else:
            flaky.will_answer(answer("well again"))
        assert await who(gw, stream=stream) == "m/bad"
        assert (await gw.health.breakers())["m/bad"].state == "closed"


async def test_a_client_is_not_kept_waiting_for_a_probe_where_there_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.pipeline.PROBE_PATIENCE_S", 0.02)
    async with upstream() as hung, upstream() as good, gateway(two(hung, good), breaker=SHORT) as gw:
        hung.will(whole(b"no", 500))
        good.will_answer(answer("ok"))
        await gw.chat()
        hung.will(Hang())
        hung.scripts.pop(0)
        assert await who(gw) == "m/good"
        await asyncio.wait_for(hung.hung_up.wait(), 5)
        breaker = (await gw.health.breakers())["m/bad"]
        assert (breaker.state, breaker.why) == ("open", "upstream_timeout")
        assert gw.log()["failed_attempts"] == ["m/bad: slower"]


async def test_what_the_client_got_wrong_never_opens_anything() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], breaker=TRIGGER_HAPPY) as gw:
        up.will_answer({"error": {"message": "bad temperature", "param": "temperature"}}, 400)
        assert [(await gw.chat()).status_code for _ in range(6)] == [400] * 6


async def test_a_client_without_time_is_no_word_against_the_deployment() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], breaker=SHORT) as gw:
        up.will(Hang())
        pipeline = gw.pipeline
        soon = pipeline.upstreams.clock.monotonic_s() + 0.05
        record = RequestRecord("r", "chat", 0.0)
        with pytest.raises(GatewayError):
            await pipeline.run(
                Call("chat", "m", {"messages": [{"role": "user", "content": "x"}]}, False, record, deadline_s=soon)
            )
        await gw.health.settle()
        assert await gw.health.breakers() == {}


@pytest.mark.parametrize("end", [(Cut(),), (chunk(event({"error": {"message": "boom"}})), b"0\r\n\r\n")])
async def test_a_stream_that_breaks_counts_against_its_deployment(end: tuple[Any, ...]) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], breaker=TRIGGER_HAPPY) as gw:
        up.will_stream(delta("x"), end=end)
        for _ in range(2):
            await gw.chat(stream=True)
        assert (await gw.health.breakers())["m/1"].state == "open"


async def test_latencies_are_learnt_from_answers_and_streams() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_stream(delta("x"), delta(finish="stop"), event("[DONE]"))
        up.will_answer(answer("ok"))
        await gw.chat(stream=True)
        await gw.chat()
        seen = gw.health.view(["m/1"])["m/1"]
        assert seen.first_ms is not None
        assert seen.latency_ms is not None
        assert (seen.requests, seen.tokens, seen.in_flight < 1) == (2, 2, True)


async def test_switched_off_every_request_tries_the_failing_one_again() -> None:
    async with upstream() as bad, upstream() as good, gateway(two(bad, good), breaker=BreakerPolicy(enabled=False)) as gw:
        bad.will(whole(b"no", 500))
        good.will_answer(answer("ok"))
        assert [(await gw.chat()).headers["x-pllm-attempts"] for _ in range(8)] == ["2"] * 8


# --- Rate limits of providers ---------------------------------------------------------------------------------------


async def test_a_429_cools_one_key_and_the_next_is_used_at_once() -> None:
    async with upstream() as limited, upstream() as free, gateway(two(limited, free), retries=3) as gw:
        limited.will_answer({"error": {"message": "slow down"}}, 429, retry_after="40")
        free.will_answer(answer("ok"))
        assert [await who(gw) for _ in range(3)] == ["m/good"] * 3
        assert len(limited.requests) == 1
        assert gw.naps == []


async def test_all_keys_limited_is_a_429_with_the_time_of_the_earliest() -> None:
    async with upstream() as one, upstream() as other, gateway(two(one, other)) as gw:
        one.will_answer({"error": {"message": "slow down"}}, 429, retry_after="40")
        other.will_answer({"error": {"message": "slow down"}}, 429, retry_after="20")
        await gw.chat()
        response = await gw.chat()
        assert response.status_code == 429
        assert 18 <= int(response.headers["retry-after"]) <= 20
        assert len(one.requests) == len(other.requests) == 1


# --- Routes and fallbacks -------------------------------------------------------------------------------------------

ROUTE = Route(slug="fast", models=(RouteModel(model_name="a", weight=3), RouteModel(model_name="b")), fallback_models=("c",))


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}),
        ("completions", {"prompt": "hi"}),
        ("responses", {"input": "hi"}),
    ],
)
async def test_a_route_is_a_model_on_every_endpoint(path: str, asked: dict[str, Any]) -> None:
    async with upstream() as up:
        many = [deployment(up.base_url, id=f"{name}/1", model_name=name) for name in "abc"]
        async with gateway(many, model_routes=[ROUTE]) as gw:
            up.will_answer(answer("ok"))
            response = await gw.client.post(f"/v1/{path}", content=json.dumps({"model": "fast", **asked}))
            assert response.status_code == 200, response.text
            assert response.headers["x-pllm-model"] == "fast"


async def test_a_route_shares_by_weight_and_falls_back() -> None:
    async with upstream() as up, upstream() as spare:
        many = [deployment(up.base_url, id=f"{name}/1", model_name=name) for name in "ab"]
        many.append(deployment(spare.base_url, id="c/1", model_name="c"))
        async with gateway(many, model_routes=[ROUTE]) as gw:
            up.will_answer(answer("ok"))
            spare.will_answer(answer("spare"))
            served = [await who(gw, model="fast") for _ in range(8)]
            assert (served.count("a/1"), served.count("b/1")) == (6, 2)
            up.scripts.clear()
            up.will(whole(b"", 500))
            assert await who(gw, model="fast") == "c/1"


async def test_routes_are_listed_among_the_models() -> None:
    async with gateway(
        [deployment("http://127.0.0.1:1", model_name=name, id=name) for name in "ab"], model_routes=[ROUTE]
    ) as gw:
        listed = {entry["id"]: entry for entry in (await gw.client.get("/v1/models")).json()["data"]}
        assert listed["fast"]["route_of"] == ["a", "b"]
        assert (await gw.client.get("/v1/models/fast")).json()["id"] == "fast"


async def test_a_model_that_fails_is_replaced_by_its_fallback() -> None:
    async with upstream() as bad, upstream() as good:
        many = [deployment(bad.base_url, id="a/1", model_name="a"), deployment(good.base_url, id="b/1", model_name="b")]
        async with gateway(many, fallbacks={"a": ("b",)}) as gw:
            bad.will(whole(b"", 500))
            good.will_answer(answer("ok"))
            assert await who(gw, model="a") == "b/1"
            assert gw.emf()["Fallbacks"] == 1


async def test_a_model_without_a_credential_is_replaced_by_its_fallback() -> None:
    async with upstream() as good:
        only = [deployment(good.base_url, id="b/1", model_name="b")]
        async with gateway(only, disabled={"a": "no key"}, fallbacks={"a": ("b",)}) as gw:
            good.will_answer(answer("ok"))
            assert await who(gw, model="a") == "b/1"


@asynccontextmanager
async def two_windows(**options: Any) -> AsyncIterator[tuple[Upstream, Upstream, Harness]]:
    tight = ModelProfile(max_input_tokens=100)
    async with upstream() as small, upstream() as large:
        many = [
            deployment(small.base_url, id="a/1", model_name="a", profile=tight),
            deployment(large.base_url, id="b/1", model_name="b"),
        ]
        async with gateway(many, context_window_fallbacks={"a": ("b",)}, **options) as gw:
            large.will_answer(answer("long"))
            yield small, large, gw


async def test_a_prompt_that_cannot_fit_goes_to_the_longer_model_before_the_call() -> None:
    async with two_windows() as (small, _, gw):
        small.will_answer(answer("short"))
        assert await who(gw, model="a") == "a/1"
        assert await who(gw, model="a", messages=[{"role": "user", "content": "word " * 400}]) == "b/1"
        assert len(small.requests) == 1


async def test_a_prompt_that_the_provider_calls_too_long_goes_to_the_longer_model() -> None:
    async with two_windows(breaker=TRIGGER_HAPPY) as (small, _, gw):
        small.will_answer(TOO_LONG, 400)
        assert [await who(gw, model="a") for _ in range(3)] == ["b/1"] * 3
        assert len(small.requests) == 3, "a prompt that was too long is the caller's, not the deployment's"


async def test_a_refused_prompt_goes_to_the_content_policy_fallback() -> None:
    async with upstream() as strict, upstream() as lenient:
        many = [deployment(strict.base_url, id="a/1", model_name="a"), deployment(lenient.base_url, id="b/1", model_name="b")]
        async with gateway(many, content_policy_fallbacks={"a": ("b",)}) as gw:
            strict.will_answer(REFUSED, 400)
            lenient.will_answer(answer("ok"))
            assert await who(gw, model="a") == "b/1"


async def test_failover_crosses_dialects() -> None:
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [{"type": "text", "text": "hello"}],
    }
    message |= {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
    async with upstream() as bad, upstream() as good:
        other = deployment(good.base_url, id="m/2", provider="anthropic", dialects=("messages",), priority=2)
        async with gateway([deployment(bad.base_url, priority=1), other]) as gw:
            bad.will(whole(b"", 500))
            good.will_answer(message)
            response = await gw.chat()
            assert response.json()["choices"][0]["message"]["content"] == "hello"


async def test_the_strategy_of_the_configuration_chooses() -> None:
    async with upstream() as one, upstream() as other:
        many = [deployment(one.base_url, id="m/1"), deployment(other.base_url, id="m/2")]
        async with gateway(many, strategy=Strategy.ROUND_ROBIN) as gw:
            one.will_answer(answer("1"))
            other.will_answer(answer("2"))
            served = [await who(gw) for _ in range(6)]
            assert served[0] != served[1]
            assert served == served[:2] * 3


# --- The table out of reach -----------------------------------------------------------------------------------------


async def test_without_the_table_requests_go_on_and_the_header_says_so() -> None:
    store = FaultyStore(MemoryStore(), always=Fault.THROTTLED)
    async with upstream() as up, upstream() as bad:
        many = [deployment(bad.base_url, id="m/bad", priority=1), deployment(up.base_url, id="m/good", priority=2)]
        async with gateway(many, store=store, breaker=TRIGGER_HAPPY) as gw:
            bad.will(whole(b"", 500))
            up.will_answer(answer("ok"))
            first = await gw.chat()
            assert "x-pllm-state" not in first.headers
            responses = [await gw.chat() for _ in range(4)]
            assert all(response.status_code == 200 for response in responses)
            assert responses[-1].headers["x-pllm-state"] == "degraded"
            assert responses[-1].headers["x-pllm-attempts"] == "1", "the local breaker is open"
            assert gw.emf()["StateDegraded"] == 1
            asked = store.calls
            await gw.chat()
            assert store.calls == asked
