"""Requests under a key that a limit refuses."""

from typing import Any

import openai
import pytest
from tests.edge.idempotent import limited
from tests.support.caller import Caller

from pllm.core.limits import ONLY_COUNTED, GateLimits
from pllm.state.gate_ticket import Ticket

RPM = GateLimits("key/key_1", rpm=1)


async def say(sdk: openai.AsyncOpenAI, key: str, words: str = "2+2") -> str | None:
    message: Any = {"role": "user", "content": words}
    raw = await sdk.chat.completions.with_raw_response.create(
        model="m", messages=[message], extra_headers={"idempotency-key": key}
    )
    return raw.headers.get("x-pllm-idempotent")


@pytest.mark.parametrize("warm", [True, False], ids=["known here", "known to the table"])
async def test_a_refused_request_runs_when_its_key_comes_again_and_the_limit_allows(warm: bool) -> None:
    caller = Caller(RPM)
    assert isinstance(await caller.gates.admit([RPM], ONLY_COUNTED), Ticket)
    if not warm:
        caller.elsewhere()
    async with limited(caller) as (up, sdk):
        for _ in range(3):
            with pytest.raises(openai.RateLimitError) as refused:
                await say(sdk, "second")
            assert "x-pllm-idempotent" not in refused.value.response.headers
        caller.clock.advance(60)
        assert await say(sdk, "second") is None
        assert await say(sdk, "second") == "replayed"
        assert len(up.requests) == 1


async def test_a_key_of_a_refused_request_is_free_for_another_one() -> None:
    caller = Caller(RPM)
    async with limited(caller) as (_, sdk):
        await say(sdk, "first")
        with pytest.raises(openai.RateLimitError):
            await say(sdk, "second")
        caller.clock.advance(60)
        assert await say(sdk, "second", "3+3") is None


async def test_the_sdks_own_retries_get_through() -> None:
    caller = Caller(RPM)
    async with limited(caller) as (up, sdk):
        await say(sdk, "first")
        waits: list[float] = []

        async def nap(seconds: float) -> None:
            waits.append(seconds)
            caller.clock.advance(60)

        patient = sdk.with_options(max_retries=2)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("anyio.sleep", nap)
            assert await say(patient, "second") is None
        assert (len(waits), len(up.requests)) == (1, 2)


async def test_a_flood_that_is_known_to_be_refused_writes_nothing() -> None:
    caller = Caller(RPM)
    async with limited(caller) as (_, sdk):
        await say(sdk, "first")
        before = caller.store.writes
        for number in range(5):
            with pytest.raises(openai.RateLimitError):
                await say(sdk, f"flood {number}")
        assert caller.store.writes == before


async def test_an_answer_that_was_kept_is_given_also_while_the_limit_is_reached() -> None:
    caller = Caller(RPM)
    async with limited(caller) as (up, sdk):
        await say(sdk, "first")
        assert await say(sdk, "first") == "replayed"
        with pytest.raises(openai.UnprocessableEntityError):
            await say(sdk, "first", "other words")
        assert len(up.requests) == 1
