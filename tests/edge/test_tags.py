"""Tags of a request, as a client of the whole gateway names them."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.gateway import Harness, deployment, gateway
from tests.support.pair import answer
from tests.support.upstream import Upstream, upstream

from pllm.core.allowances import Allowances
from pllm.core.keys import KeyFields, KeyRecord, Team, TeamFields
from pllm.core.principal import Principal
from pllm.edge.app import Gateway
from pllm.edge.auth import Authenticator
from pllm.edge.http import HttpRequest

EU, US = "m/eu", "m/us"


@pytest.fixture
async def up() -> AsyncIterator[Upstream]:
    async with upstream() as server:
        server.will_answer(answer("ok"))
        yield server


@pytest.fixture
async def gw(up: Upstream) -> AsyncIterator[Harness]:
    both = [
        deployment(up.base_url, id=EU, tags=("eu", "default")),
        deployment(up.base_url, id=US, tags=("us",)),
        deployment(up.base_url, id="e", model_name="e", tags=("us",)),
    ]
    async with gateway(both) as found:
        yield found


async def ask(gw: Harness, headers: dict[str, str] | None = None, **body: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | body
    return await gw.client.post("/v1/chat/completions", content=json.dumps(body), headers=headers)


async def whom(gw: Harness, headers: dict[str, str] | None = None, **body: Any) -> str:
    response = await ask(gw, headers, **body)
    assert response.status_code == 200, response.text
    return str(response.headers["x-pllm-deployment"])


async def test_a_header_names_them_and_no_tags_mean_the_default(gw: Harness) -> None:
    assert {await whom(gw) for _ in range(8)} == {EU}
    assert {await whom(gw, {"x-pllm-tags": "us"}) for _ in range(8)} == {US}
    assert await whom(gw, {"x-litellm-tags": " gold , us"}) == US
    assert {await whom(gw, {"x-pllm-tags": "eu,us"}) for _ in range(30)} == {EU, US}
    assert await whom(gw, {"x-pllm-tags": " , "}) == EU


async def test_the_bodys_metadata_names_them_and_does_not_carry_them_on(gw: Harness, up: Upstream) -> None:
    assert await whom(gw, metadata={"tags": ["us"]}) == US
    assert "metadata" not in up.requests[-1].json()
    assert await whom(gw, metadata={"tags": ["us"], "run": "7"}) == US
    assert up.requests[-1].json()["metadata"] == {"run": "7"}
    assert await whom(gw, metadata={"tags": "us"}) == EU
    assert up.requests[-1].json()["metadata"] == {"tags": "us"}


async def test_tags_that_nothing_has_are_a_400_that_names_those_there_are(gw: Harness, up: Upstream) -> None:
    response = await ask(gw, {"x-pllm-tags": "gold"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "no_matching_tag")
    assert error["message"] == "No deployment of 'm' is tagged 'gold'. Its tags are: 'eu', 'default', 'us'."
    assert up.requests == []


@pytest.mark.parametrize("tags", [[1], [""], [["us"]]])
async def test_a_list_of_anything_but_texts_is_a_400(gw: Harness, up: Upstream, tags: list[Any]) -> None:
    response = await ask(gw, metadata={"tags": tags})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "metadata.tags")
    assert up.requests == []


async def test_the_other_endpoints_take_the_header(gw: Harness, up: Upstream) -> None:
    for path, body in (
        ("embeddings", {"model": "e", "input": "x"}),
        ("messages/count_tokens", {"model": "e", "messages": [{"role": "user", "content": "x"}]}),
    ):
        up.scripts[:] = []
        up.will_answer({"object": "list", "data": [], "model": "x", "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        answered = await gw.client.post(f"/v1/{path}", content=json.dumps(body), headers={"x-pllm-tags": "us"})
        assert answered.status_code == 200, answered.text
    refused = await gw.client.post(
        "/v1/embeddings", content=json.dumps({"model": "e", "input": "x"}), headers={"x-pllm-tags": "eu"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_matching_tag")


async def test_without_tags_in_the_configuration_nothing_is_looked_for(up: Upstream) -> None:
    async with gateway([deployment(up.base_url)]) as gw:
        assert await whom(gw, {"x-pllm-tags": "gold"}, metadata={"tags": ["us"]}) == "m/1"
        assert up.requests[-1].json()["metadata"] == {"tags": ["us"]}


class _Holder(Authenticator):
    """Everybody holds a key with these tags."""

    def __init__(self, *tags: str) -> None:
        super().__init__(None)
        self._tags = tags

    async def authenticate(self, request: HttpRequest) -> Principal:
        return Principal("key/1", tags=self._tags)


async def test_a_keys_tags_choose_where_the_request_names_none(gw: Harness) -> None:
    async with gw.against(Gateway(replace(gw.edge, authenticator=_Holder("marketing", "us")))) as client:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        own = await client.post("/v1/chat/completions", content=body)
        assert own.headers["x-pllm-deployment"] == US
        named = await client.post("/v1/chat/completions", content=body, headers={"x-pllm-tags": "eu"})
        assert named.headers["x-pllm-deployment"] == EU


def test_a_key_has_its_own_tags_and_its_teams() -> None:
    record = KeyRecord("1", "0" * 64, KeyFields("k", tags=("a", "b")), 0, "admin")
    team = Team("t", TeamFields("t", tags=("b", "c")), 0, "admin")
    assert Allowances().principal(record, team).tags == ("a", "b", "c")
    assert Allowances().principal(record, None).tags == ("a", "b")
