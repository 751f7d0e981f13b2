"""The endpoints beside the text ones, for every row of the provider table that speaks OpenAI's dialect."""

from typing import Any

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.upstream import chunk, upstream
from tests.wire.openai_media.forms import parsed, written

from pllm.providers.base import ProviderRow
from pllm.providers.registry import ROWS
from pllm.wire.openai_media import ENDPOINTS

CHAT_ROWS = [row for row in ROWS if "chat" in row.dialects]
OTHER_ROWS = [row for row in ROWS if "chat" not in row.dialects]
EACH = pytest.mark.parametrize("row", CHAT_ROWS, ids=lambda row: row.name)
ALL_PATHS = pytest.mark.parametrize("path", list(ENDPOINTS))
# Of Google's every model may make embeddings, as far as is known without a catalogue.
ELSEWHERE = [(row, path) for row in OTHER_ROWS for path in ENDPOINTS if not (path == "embeddings" and "gemini" in row.dialects)]

ANSWER = {"data": [], "results": [], "text": "x", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
FILE = ("file", "a.bin", b"\x00\xff\r\n--")


def of(row: ProviderRow, base_url: str, **changes: Any) -> Any:
    base = base_url if row.kind == "azure" else f"{base_url}/v1"
    return deployment(base_url, **({"provider": row.name, "api_base": base, "dialects": ("chat",)} | changes))


def head(row: ProviderRow) -> tuple[str, str]:
    return {"bearer": ("authorization", "Bearer sk-upstream"), "api-key": ("api-key", "sk-upstream")}[row.auth]


@EACH
async def test_json_reaches_it_with_its_credential(row: ProviderRow) -> None:
    for path in (path for path, endpoint in ENDPOINTS.items() if endpoint.takes != "form" and not endpoint.audio):
        async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
            up.will_answer(ANSWER)
            response = await gw.client.post(f"/v1/{path}", json={"model": "m", "input": "x", "x_new": 1})
            assert (response.status_code, response.json()) == (200, ANSWER)
            sent = up.requests[0]
            assert sent.json() == {"model": "gpt-x", "input": "x", "x_new": 1}
            assert sent.path.split("?")[0].endswith(f"/{path}")
            name, value = head(row)
            assert (sent.headers[name], sent.headers["content-type"]) == (value, "application/json")
            assert gw.log()["prompt_tokens"] == 3


@EACH
async def test_a_form_reaches_it_with_its_credential(row: ProviderRow) -> None:
    form = written([("model", "m"), ("response_format", "json")], [FILE])
    for path in (path for path, endpoint in ENDPOINTS.items() if endpoint.takes != "json"):
        async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
            up.will_answer(ANSWER)
            response = await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})
            assert (response.status_code, response.json()) == (200, ANSWER)
            sent = up.requests[0]
            assert sent.path.split("?")[0].endswith(f"/{path}")
            name, value = head(row)
            assert (sent.headers[name], sent.headers["content-type"]) == (value, form.content_type)
            assert parsed(sent.body, form.content_type) == ([("model", "gpt-x"), ("response_format", "json")], [FILE])


@EACH
async def test_speech_comes_back_byte_for_byte(row: ProviderRow) -> None:
    async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
        up.will(
            b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n",
            chunk(b"\x00\xff"),
            b"0\r\n\r\n",
        )
        response = await gw.client.post("/v1/audio/speech", json={"model": "m", "input": "x", "voice": "v"})
        assert (response.content, response.headers["content-type"]) == (b"\x00\xff", "audio/pcm")


@EACH
async def test_a_field_it_refuses_is_a_400_or_dropped_and_listed(row: ProviderRow) -> None:
    for field in sorted(row.quirks.refused):
        async with upstream() as up, gateway([of(row, up.base_url)]) as gw:
            response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": "x", field: 1})
            assert (response.status_code, response.json()["error"]["param"]) == (400, field)
            assert up.requests == []
        async with upstream() as up, gateway([of(row, up.base_url, drop_unsupported=True)]) as gw:
            up.will_answer(ANSWER)
            response = await gw.client.post("/v1/embeddings", json={"model": "m", "input": "x", field: 1})
            assert response.headers["x-pllm-dropped"] == field
            assert up.requests[0].json() == {"model": "gpt-x", "input": "x"}


@pytest.mark.parametrize(("row", "path"), ELSEWHERE, ids=lambda one: getattr(one, "name", one))
async def test_a_provider_of_another_dialect_is_named_with_the_endpoint(row: ProviderRow, path: str) -> None:
    form = written([("model", "m")], [FILE])
    one = deployment("http://127.0.0.1:1", provider=row.name, dialects=row.dialects)
    async with gateway([one]) as gw:
        if ENDPOINTS[path].takes == "form":
            response = await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})
        else:
            response = await gw.client.post(f"/v1/{path}", json={"model": "m", "input": "x"})
        assert response.status_code == 400
        assert f"/v1/{path}" in response.json()["error"]["message"]
        assert "'m'" in response.json()["error"]["message"]


@ALL_PATHS
@pytest.mark.parametrize(
    ("base", "prefix", "query"),
    [
        ("{}", "/openai/deployments/my%20model/", "?api-version=2024-10-21"),
        ("{}/openai/v1", "/openai/v1/", ""),
    ],
)
async def test_azure_names_the_deployment_in_the_path_or_the_body(path: str, base: str, prefix: str, query: str) -> None:
    form = written([("model", "m")], [FILE])
    async with upstream() as up:
        one = deployment(up.base_url, provider="azure", model="my model", api_base=base.format(up.base_url))
        async with gateway([one]) as gw:
            up.will_answer(ANSWER)
            if ENDPOINTS[path].takes == "json":
                await gw.client.post(f"/v1/{path}", json={"model": "m", "input": "x"})
                assert up.requests[0].json()["model"] == "my model"
            else:
                await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})
                assert parsed(up.requests[0].body, form.content_type)[0] == [("model", "my model")]
            assert up.requests[0].path == f"{prefix}{path}{query}"
            assert up.requests[0].headers["api-key"] == "sk-upstream"
