"""One contract for every row of the provider table: a new row is tested by being there."""

import json
from typing import Any

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.upstream import event, upstream

from pllm.core.secret import Secret
from pllm.providers.base import ProviderRow
from pllm.providers.registry import ROWS, Registry

CHAT_ROWS = [row for row in ROWS if "chat" in row.dialects]
EACH = pytest.mark.parametrize("row", CHAT_ROWS, ids=lambda row: row.name)

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def of(row: ProviderRow, base_url: str, **changes: Any) -> Any:
    base = base_url if row.kind == "azure" else f"{base_url}/v1"
    return deployment(base_url, **({"provider": row.name, "api_base": base, "dialects": ("chat",)} | changes))


@EACH
async def test_a_chat_reaches_it_with_its_credential(row: ProviderRow) -> None:
    async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat()
        assert response.json() == ANSWER
        assert response.headers["x-pllm-provider"] == row.name
        sent = up.requests[0]
        name, value = {
            "bearer": ("authorization", "Bearer sk-upstream"),
            "api-key": ("api-key", "sk-upstream"),
        }[row.auth]
        assert sent.headers[name] == value
        assert sent.path.split("?")[0].endswith("/chat/completions")
        assert sent.headers["content-type"] == "application/json"


@EACH
async def test_a_stream_comes_through_with_its_usage(row: ProviderRow) -> None:
    async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
        choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
        last = event({"choices": [choice], "usage": ANSWER["usage"]})
        up.will_stream(event({"choices": [choice | {"finish_reason": None}]}), last, event("[DONE]"))
        response = await gw.chat(stream=True)
        assert response.text.endswith("data: [DONE]\n\n")
        assert gw.log()["prompt_tokens"] == 1
        asked = up.requests[0].json().get("stream_options")
        assert asked == ({"include_usage": True} if row.quirks.stream_usage else None)


@EACH
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_the_token_cap_is_spelt_as_it_wants(row: ProviderRow, field: str) -> None:
    async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
        up.will_answer(ANSWER)
        await gw.chat(**{field: 9})
        body = up.requests[0].json()
        expected = row.quirks.token_cap or field
        assert {k: v for k, v in body.items() if "token" in k} == {expected: 9}


@EACH
async def test_a_field_it_refuses_is_a_400_or_dropped_and_listed(row: ProviderRow) -> None:
    values = {"n": 2, "logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 1}}
    for field in sorted(row.quirks.refused):
        async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
            response = await gw.chat(**{field: values.get(field, 1)})
            assert response.status_code == 400
            assert response.json()["error"]["param"] == field
            assert up.requests == []
        async with upstream() as up, gateway([of(row, up.base_url, drop_unsupported=True)]) as gw:
            up.will_answer(ANSWER)
            response = await gw.chat(**{field: values.get(field, 1)})
            assert response.headers["x-pllm-dropped"] == field
            assert field not in up.requests[0].json()


@EACH
async def test_a_missing_credential_is_a_502_only_where_one_is_needed(row: ProviderRow) -> None:
    async with upstream() as up, gateway([of(row, up.base_url, api_key=None)]) as gw:
        up.will_answer(ANSWER)
        response = await gw.chat()
        assert response.status_code == (502 if row.key_required else 200)


@EACH
async def test_configured_headers_are_sent(row: ProviderRow) -> None:
    async with upstream() as up, gateway([of(row, up.base_url, headers={"x-team": "blue"})]) as gw:
        up.will_answer(ANSWER)
        await gw.chat()
        assert up.requests[0].headers["x-team"] == "blue"


def test_names_and_synonyms_are_unique_and_found_in_any_case() -> None:
    registry = Registry()
    names = [name for row in ROWS for name in (row.name, *row.synonyms)]
    assert len(names) == len(set(names))
    for row in ROWS:
        for name in (row.name, *row.synonyms):
            assert registry.get(name.upper()) is row
    assert registry.get("nobody") is None


async def test_openrouter_is_told_who_we_are() -> None:
    environment = {"OPENROUTER_HTTP_REFERER": "https://us.example", "OPENROUTER_X_TITLE": "PLLM Gateway"}
    row = Registry().get("openrouter")
    assert row is not None
    async with upstream() as up, gateway([of(row, up.base_url)], environment=environment) as gw:
        up.will_answer(ANSWER)
        await gw.chat()
        assert up.requests[0].headers["http-referer"] == "https://us.example"
        assert up.requests[0].headers["x-title"] == "PLLM Gateway"


@pytest.mark.parametrize(
    ("base", "version", "path"),
    [
        ("{}", None, "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"),
        ("{}/", "2024-02-15-preview", "/openai/deployments/my%20gpt/chat/completions?api-version=2024-02-15-preview"),
        ("{}/openai", "v", "/openai/deployments/my%20gpt/chat/completions?api-version=v"),
        ("{}/openai/v1", None, "/openai/v1/chat/completions"),
        ("{}/openai/v1/", "preview", "/openai/v1/chat/completions?api-version=preview"),
    ],
)
async def test_azure_addresses(base: str, version: str | None, path: str) -> None:
    async with upstream() as up:
        one = deployment(up.base_url, provider="azure", model="my gpt", api_base=base.format(up.base_url), api_version=version)
        async with gateway([one]) as gw:
            up.will_answer(ANSWER)
            assert (await gw.chat()).status_code == 200
            assert up.requests[0].path == path


async def test_azure_takes_an_entra_token() -> None:
    async with upstream() as up:
        one = deployment(up.base_url, provider="azure", api_base=up.base_url, api_key=Secret("eyJh.eyJz.c2ln"))
        async with gateway([one]) as gw:
            up.will_answer(ANSWER)
            await gw.chat()
            headers = up.requests[0].headers
            assert headers["authorization"] == "Bearer eyJh.eyJz.c2ln"
            assert "api-key" not in headers


async def test_empty_choices_from_azure_pass() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, provider="azure", api_base=up.base_url)]) as gw:
        choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
        filters = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
        up.will_stream(event(filters), event({"choices": [choice]}), event("[DONE]"))
        lines = [line[6:] for line in (await gw.chat(stream=True)).text.splitlines() if line]
        assert json.loads(lines[0]) == filters
