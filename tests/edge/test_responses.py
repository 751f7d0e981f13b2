"""/v1/responses against a Chat upstream: any upstream can be continued, because the answers are kept here."""

import json
from typing import Any
from urllib.parse import quote

import openai
import pytest
from tests.support.gateway import KEY, Harness, deployment, gateway
from tests.support.upstream import event, upstream

from pllm.state.answers import StoredAnswers
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "blue"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def sdk_of(gw: Harness) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=gw.client, max_retries=0)


async def test_an_answer_is_kept_fetched_continued_and_deleted() -> None:
    store = MemoryStore()
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(store)) as gw:
        sdk = sdk_of(gw)
        up.will_answer(ANSWER)
        first = await sdk.responses.create(model="m", input="my favourite colour?")
        assert first.output_text == "blue"
        assert (await sdk.responses.retrieve(first.id)).output_text == "blue"
        second = await sdk.responses.create(model="m", input="and again?", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        sent = up.requests[-1].json()["messages"]
        assert [(m["role"], m["content"]) for m in sent] == [
            ("user", "my favourite colour?"),
            ("assistant", "blue"),
            ("user", "and again?"),
        ]
        items = await sdk.responses.input_items.list(second.id)
        assert len(items.data) == 3
        await sdk.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve(first.id)


async def test_a_stream_is_kept_once_it_is_whole() -> None:
    store = MemoryStore()
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(store)) as gw:
        delta = event({"choices": [{"index": 0, "delta": {"content": "blue"}, "finish_reason": None}]})
        last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        up.will_stream(delta, last, event("[DONE]"))
        up.will_stream(delta)
        sdk = sdk_of(gw)
        async with sdk.responses.stream(model="m", input="x") as stream:
            final = await stream.get_final_response()
        assert (await sdk.responses.retrieve(final.id)).output_text == "blue"
        kept = len(store.items)
        with pytest.raises(openai.APIError):
            async for _ in await sdk.responses.create(model="m", input="x", stream=True):
                pass
        assert len(store.items) == kept


@pytest.mark.parametrize("name", [{}, [], 7, None])
async def test_a_reference_to_what_is_no_id_is_a_400(name: Any) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(MemoryStore())) as gw:
        up.will_answer(ANSWER)
        first = await sdk_of(gw).responses.create(model="m", input="x")
        body = {"model": "m", "input": [{"type": "item_reference", "id": name}], "previous_response_id": first.id}
        response = await gw.client.post("/v1/responses", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "input[2]")


async def test_store_false_keeps_nothing() -> None:
    store = MemoryStore()
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(store)) as gw:
        up.will_answer(ANSWER)
        await sdk_of(gw).responses.create(model="m", input="x", store=False)
        assert store.items == {}


async def test_an_answer_that_was_never_stored_cannot_be_continued() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(MemoryStore())) as gw:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk_of(gw).responses.create(model="m", input="x", previous_response_id="resp_gone")
        assert refused.value.code == "previous_response_not_found"
        assert up.requests == []


async def test_without_a_table_nothing_is_stored_and_the_answer_says_so() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer(ANSWER)
        sdk = sdk_of(gw)
        answer: Any = await sdk.responses.create(model="m", input="x")
        assert answer.store is False
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(model="m", input="x", store=True)
        assert refused.value.param == "store"
        with pytest.raises(openai.NotFoundError):
            await sdk.responses.retrieve(answer.id)


async def test_somebody_elses_answer_is_as_absent_as_none() -> None:
    answers = StoredAnswers(MemoryStore())
    async with upstream() as up, gateway([deployment(up.base_url)], answers=answers) as gw:
        up.will_answer(ANSWER)
        made = await sdk_of(gw).responses.create(model="m", input="x")
    now_s = 1_700_000_000.0
    assert await answers.get(made.id, "master", now_s) is not None
    assert await answers.get(made.id, "another", now_s) is None
    assert await answers.delete(made.id, "another", now_s) is False
    assert await answers.get(made.id, "master", now_s + 10**10) is None


class _Down(MemoryStore):
    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        raise StateError("throttled", sent=False)


async def test_a_table_that_is_down_is_a_503_and_never_a_404() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(_Down())) as gw:
        response = await gw.client.get("/v1/responses/resp_1")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "name", ["r" * 513, "\ud800", "\x00", "r\u00e9sp", ""], ids=["long", "surrogate", "nul", "latin", "empty"]
)
async def test_what_cannot_be_an_id_is_unknown_and_the_table_is_not_asked(name: str) -> None:
    """An error that a client can cause would be taken for an outage: then everybody's limits go unasked for a while."""
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(_Down())) as gw:
        continued = await gw.client.post(
            "/v1/responses", content=json.dumps({"model": "m", "input": "x", "previous_response_id": name})
        )
        assert (continued.status_code, continued.json()["error"]["code"]) == (400, "previous_response_not_found")
        for method in ("GET", "DELETE"):
            path = "/v1/responses/" + quote(name, errors="surrogatepass")
            assert (await gw.client.request(method, path)).status_code == 404
        assert up.requests == []


async def test_an_answer_too_large_for_the_table_is_answered_and_the_log_says_it_is_not_kept() -> None:
    import random

    words = random.Random(1).randbytes(700_000).hex()
    big = {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}]}
    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(MemoryStore())) as gw:
        up.will_answer(big)
        answer = await sdk_of(gw).responses.create(model="m", input="x")
        assert answer.output_text == words
        assert any(line.get("message") == "response not stored" for line in gw.lines)


async def test_an_answer_that_is_still_being_stored_is_waited_for() -> None:
    store = MemoryStore()
    late: list[tuple[tuple[str, str], Item]] = []

    async def meanwhile(pause_s: float) -> None:
        store.items.update({key: item for key, item in late if pause_s > 0.1})

    async with upstream() as up, gateway([deployment(up.base_url)], answers=StoredAnswers(store, meanwhile)) as gw:
        up.will_answer(ANSWER)
        sdk = sdk_of(gw)
        first = await sdk.responses.create(model="m", input="my favourite colour?")
        late.extend((key, store.items.pop(key)) for key in list(store.items) if key[0].startswith("R#"))
        assert len(late) == 1
        await sdk.responses.create(model="m", input="and again?", previous_response_id=first.id)
        assert [message["content"] for message in up.requests[-1].json()["messages"]][1] == "blue"
