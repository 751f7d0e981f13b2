"""Authentication comes before everything, and says the same to every wrong key."""

import pytest
from tests.support.gateway import KEY, deployment, gateway
from tests.support.upstream import upstream

PATHS = ("/v1/chat/completions", "/v1/models", "/v1/models/m", "/nowhere", "/v1/batches", "/api/v1/models")


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_key_every_path_is_a_401_whatever_is_there(path: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.get(path, headers={"authorization": ""})
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer   {KEY}"},
        {"authorization": "", "x-api-key": KEY},
        {"authorization": "", "api-key": KEY},
        {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    ],
)
async def test_the_key_is_taken_from_each_of_the_three_headers(headers: dict[str, str]) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        if not headers["authorization"]:
            del gw.client.headers["authorization"]
            headers = {name: value for name, value in headers.items() if value}
        assert (await gw.client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY.upper()}"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": "Bearer "},
        {"authorization": "Bearer " + "k" * 100_000},
        {"authorization": "Bearer \u00fc\u00f1"},
        {"authorization": f"Bearer {KEY}", "x-api-key": "another"},
        {"authorization": "Bearer another", "x-api-key": KEY},
    ],
)
async def test_every_wrong_key_gets_the_same_answer(headers: dict[str, str]) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        response = await gw.client.get("/v1/models", headers=raw)
        assert response.status_code == 401
        assert response.json()["error"] == {
            "message": "Incorrect API key provided.",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
        assert response.headers["www-authenticate"] == "Bearer"


async def test_a_key_in_the_query_string_is_no_key() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        del gw.client.headers["authorization"]
        assert (await gw.client.get(f"/v1/models?api_key={KEY}&key={KEY}")).status_code == 401


async def test_a_bad_body_is_not_looked_at_without_a_key() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post("/v1/chat/completions", content=b"{", headers={"authorization": "Bearer no"})
        assert response.status_code == 401
