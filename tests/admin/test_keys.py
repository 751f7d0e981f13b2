"""/api/admin/keys and /teams as their users see them."""

import json
from typing import Any

import pytest
from tests.support.control import Control, control
from tests.support.door import MASTER_KEY
from tests.support.key_service import KeyService

from pllm.core.keys import digest_of, is_key
from pllm.state.memory import MemoryStore
from pllm.state.store import INVALID, Item, Rejected, StateError

KEYS = "/api/admin/keys"
FULL: dict[str, Any] = {
    "name": "ci",
    "team": "search",
    "models": ["gpt-*"],
    "scopes": ["chat"],
    "role": "user",
    "rpm": 60,
    "tpm": 1000,
    "max_parallel": 2,
    "sliding": True,
    "budget": {"amount_usd": 25.5, "period": "week", "timezone": "Europe/Berlin"},
    "expires_at": "2027-12-31T23:59:59+01:00",
    "metadata": {"owner": "ana"},
    "tags": ["a"],
}


async def created(plane: Control, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = await plane.done("POST", KEYS, json={"name": "ci", **fields})
    return made


async def test_a_key_is_made_with_everything_and_shown_once(plane: Control) -> None:
    await plane.done("POST", "/api/admin/teams", json={"id": "search"})
    response = await plane.asked("POST", KEYS, json=FULL)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    assert is_key(made["key"])
    expected = FULL | {"expires_at": "2027-12-31T22:59:59Z"}
    assert {name: made[name] for name in FULL} == expected
    assert (made["status"], made["version"], made["created_by"]) == ("active", 1, "master")
    looked = await plane.done("GET", f"{KEYS}/{made['id']}")
    assert looked == {name: value for name, value in made.items() if name != "key"}
    everything = json.dumps([looked, await plane.done("GET", KEYS), await plane.done("GET", "/api/admin/audit"), plane.lines])
    assert made["key"] not in everything
    assert digest_of(made["key"]) not in everything


async def test_a_change_changes_what_it_names_and_null_takes_away(plane: Control) -> None:
    made = await created(plane, rpm=5, tpm=7, budget={"amount_usd": 1}, models=["a"], expires_at="2028-01-01T00:00:00Z")
    path = f"{KEYS}/{made['id']}"
    changed = await plane.done("PATCH", path, json={"rpm": None, "max_parallel": 3, "models": ["b", "c"], "version": 1})
    assert (changed["rpm"], changed["tpm"], changed["max_parallel"], changed["models"]) == (None, 7, 3, ["b", "c"])
    assert changed["budget"] == {"amount_usd": 1.0, "period": "month", "timezone": "UTC"}
    assert (changed["name"], changed["version"], changed["expires_at"]) == ("ci", 2, "2028-01-01T00:00:00Z")
    gone = await plane.done("PATCH", path, json={"budget": None, "expires_at": None})
    assert (gone["budget"], gone["expires_at"]) == (None, None)


async def test_a_list_has_pages_and_filters(plane: Control) -> None:
    ids: list[str] = []
    await plane.done("POST", "/api/admin/teams", json={"id": "search"})
    for number in range(5):
        team = {"team": "search"} if number % 2 else {}
        ids.insert(0, (await created(plane, name=f"Key {number}", **team))["id"])
        plane.service.clock.advance(1)
    first = await plane.done("GET", f"{KEYS}?limit=2")
    assert [key["id"] for key in first["data"]] == ids[:2]
    second = await plane.done("GET", f"{KEYS}?limit=2&after={first['next']}")
    third = await plane.done("GET", f"{KEYS}?limit=2&after={second['next']}")
    assert [key["id"] for page in (second, third) for key in page["data"]] == ids[2:]
    assert third["next"] is None
    await plane.done("POST", f"{KEYS}/{ids[0]}/revoke")
    for query, expected in (
        ("team=search", [ids[1], ids[3]]),
        ("status=revoked", [ids[0]]),
        ("name=key+3", [ids[1]]),
        ("team=nobody", []),
    ):
        assert [key["id"] for key in (await plane.done("GET", f"{KEYS}?{query}"))["data"]] == expected
    assert (await plane.refused("GET", f"{KEYS}?after=key_gone"))[:2] == (400, "after")
    assert (await plane.refused("GET", f"{KEYS}?limit=0"))[:2] == (400, "limit")
    assert (await plane.refused("GET", f"{KEYS}?status=odd"))[:2] == (400, "status")


async def test_stopping_and_starting(plane: Control) -> None:
    made = await created(plane)
    path = f"{KEYS}/{made['id']}"
    assert (await plane.done("POST", f"{path}/disable"))["status"] == "disabled"
    assert (await plane.done("POST", f"{path}/enable", json={"version": 2}))["status"] == "active"
    assert (await plane.refused("POST", f"{path}/revoke", json={"version": 2}))[0] == 409
    assert (await plane.done("POST", f"{path}/revoke"))["status"] == "revoked"
    status, _, message = await plane.refused("POST", f"{path}/enable")
    assert status == 409
    assert "final" in message
    assert await plane.done("DELETE", f"{path}?version=4") == {"id": made["id"], "deleted": True}
    assert (await plane.refused("GET", path))[0] == 404


async def test_a_rotation_shows_the_new_secret_and_how_long_the_old_one_works(plane: Control) -> None:
    made = await created(plane)
    path = f"{KEYS}/{made['id']}"
    rotated = await plane.done("POST", f"{path}/rotate", json={"grace_seconds": 3600})
    assert is_key(rotated["key"])
    assert rotated["key"] != made["key"]
    assert rotated["previous_valid_until"] == "2027-01-15T09:00:00Z"
    by_default = await plane.done("POST", f"{path}/rotate")
    assert by_default["previous_valid_until"] == "2027-01-16T08:00:00Z"
    assert (await plane.done("POST", f"{path}/rotate", json={"grace_seconds": 0}))["previous_valid_until"] is None
    assert (await plane.refused("POST", f"{path}/rotate", json={"grace_seconds": -1}))[:2] == (400, "grace_seconds")


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "name", "'name' is missing"),
        ({"name": 7}, "name", "string"),
        ({"name": ""}, "name", "1 to 128"),
        ({"nmae": "x"}, None, "unknown field 'nmae'; did you mean 'name'?"),
        ({"name": "x", "budget": {"amount": 3}}, "budget", "unknown field 'amount'; did you mean 'amount_usd'?"),
        ({"name": "x", "rpm": "5"}, "rpm", "integer"),
        ({"name": "x", "rpm": True}, "rpm", "integer"),
        ({"name": "x", "rpm": 1.5}, "rpm", "integer"),
        ({"name": "x", "rpm": 0}, "rpm", "from 1"),
        ({"name": "x", "rpm": 10**30}, "rpm", "from 1"),
        ({"name": "x", "models": "gpt-4o"}, "models", "list"),
        ({"name": "x", "models": []}, "models", '["*"]'),
        ({"name": "x", "scopes": ["chatt"]}, "scopes", "unknown scope 'chatt'"),
        ({"name": "x", "role": "root"}, "role", "admin"),
        ({"name": "x", "team": "nobody"}, "team", "no team 'nobody'"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "in the future"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "expires_at", "timezone"),
        ({"name": "x", "expires_at": "soon"}, "expires_at", "datetime"),
        ({"name": "x", "budget": {"amount_usd": -1}}, "budget.amount_usd", "greater than or equal to 0"),
        ({"name": "x", "budget": {"amount_usd": 1, "period": "year"}}, "budget.period", "month"),
        ({"name": "x", "budget": {"amount_usd": 1, "timezone": "Mars"}}, "budget.timezone", "Mars"),
        ({"name": "x", "metadata": {"a": 1}}, "metadata.a", "string"),
        ([], None, "JSON object"),
        ("x", None, "JSON object"),
    ],
)
async def test_what_is_wrong_with_a_body_is_said_plainly(plane: Control, body: Any, param: str | None, words: str) -> None:
    status, named, message = await plane.refused("POST", KEYS, json=body)
    assert (status, named) == (400, param)
    assert words in message
    assert (await plane.done("GET", KEYS))["data"] == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"name": NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_a_400(plane: Control, content: bytes) -> None:
    response = await plane.client.post(
        KEYS, content=content, headers={"authorization": "Bearer sk-test-master", "content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_that_is_too_large_is_not_read_to_its_end(plane: Control) -> None:
    status, _, message = await plane.refused("POST", KEYS, content=b" " * 2_100_000)
    assert status == 413
    assert "2097152" in message


async def test_teams_have_a_life_of_their_own(plane: Control) -> None:
    teams = "/api/admin/teams"
    made = await plane.done("POST", teams, json={"id": "search", "rpm": 9, "budget": {"amount_usd": 5}, "models": ["gpt-*"]})
    assert (made["name"], made["rpm"], made["keys"]) == ("search", 9, 0)
    assert (await plane.refused("POST", teams, json={"id": "search"}))[:2] == (409, "id")
    assert (await plane.refused("POST", teams, json={"id": "a b"}))[:2] == (400, "id")
    changed = await plane.done("PATCH", f"{teams}/search", json={"name": "Search", "tpm": 3, "version": made["version"]})
    assert (changed["name"], changed["rpm"], changed["tpm"]) == ("Search", 9, 3)
    assert (await plane.refused("PATCH", f"{teams}/search", json={"name": "x", "version": made["version"]}))[0] == 409
    await created(plane, team="search")
    assert [(team["id"], team["keys"]) for team in (await plane.done("GET", teams))["data"]] == [("search", 1)]
    assert (await plane.refused("DELETE", f"{teams}/search"))[0] == 409
    assert (await plane.refused("GET", f"{teams}/nobody"))[0] == 404
    await plane.done("POST", teams, json={"id": "empty"})
    assert (await plane.done("DELETE", f"{teams}/empty"))["deleted"] is True


async def test_the_audit_log_has_pages_and_targets(plane: Control) -> None:
    made = await created(plane)
    for _ in range(3):
        plane.service.clock.advance(1)
        await plane.done("POST", f"{KEYS}/{made['id']}/rotate")
    first = await plane.done("GET", "/api/admin/audit?limit=3")
    assert [row["what"] for row in first["data"]] == ["key.rotate"] * 3
    rest = await plane.client.get(
        "/api/admin/audit", params={"before": first["next"]}, headers={"authorization": "Bearer sk-test-master"}
    )
    (row,) = rest.json()["data"]
    assert (row["what"], row["who"], row["target"], row["before"]) == ("key.create", "master", f"key/{made['id']}", None)
    assert (row["after"]["name"], row["at"]) == ("ci", "2027-01-15T08:00:00Z")
    assert (await plane.done("GET", "/api/admin/audit?target=team/x"))["data"] == []
    assert (await plane.refused("GET", "/api/admin/audit?before=nonsense"))[:2] == (400, "before")


async def test_who_changes_is_who_asks(plane: Control) -> None:
    admin = await created(plane, name="ops", role="admin")
    response = await plane.asked("POST", KEYS, key=admin["key"], json={"name": "made by ops"})
    assert response.json()["created_by"] == admin["id"]
    rows = (await plane.done("GET", "/api/admin/audit"))["data"]
    assert [row["who"] for row in rows] in ([admin["id"], "master"], ["master", admin["id"]])


class _Down(MemoryStore):
    async def transact(self, writes: Any, token: str) -> Rejected | None:
        raise StateError("timeout", sent=True)


async def test_a_table_that_does_not_answer_is_a_503_that_promises_nothing() -> None:
    async with control(_Down()) as plane:
        response = await plane.asked("POST", KEYS, json={"name": "x"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "2"
        assert "look whether it was made" in response.json()["error"]["message"]


async def test_without_a_table_keys_are_refused_and_the_rest_works() -> None:
    async with control(table=False) as plane:
        assert (await plane.refused("GET", KEYS))[0] == 503
        assert (await plane.done("GET", "/api/admin/config"))["version"] == 4


class _Racing(MemoryStore):
    """Lets somebody else write first, once."""

    first: Any = None

    async def transact(self, writes: Any, token: str) -> Rejected | None:
        first, self.first = self.first, None
        if first is not None:
            await first()
        return await super().transact(writes, token)


async def test_two_administrators_at_once_one_gets_a_409() -> None:
    store = _Racing()
    async with control(store) as plane:
        made = await created(plane)
        service: KeyService = plane.service

        async def the_other() -> None:
            await service.keys.set_state(made["id"], "disabled", "the other")

        store.first = the_other
        status, _, message = await plane.refused("PATCH", f"{KEYS}/{made['id']}", json={"rpm": 5})
        assert status == 409
        assert "at version 2 now" in message
        looked = await plane.done("GET", f"{KEYS}/{made['id']}")
        assert (looked["status"], looked["rpm"], looked["version"]) == ("disabled", None, 2)


class _Short(MemoryStore):
    """Takes keys as long as DynamoDB does."""

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        if len(sk) > 1024:
            raise StateError(INVALID, sent=False)
        return await super().get(pk, sk, consistent=consistent)


@pytest.mark.parametrize("kind", ["keys", "teams"])
async def test_an_id_that_is_too_long_for_the_table_is_unknown_and_not_asked_for(kind: str) -> None:
    async with control(_Short()) as plane:
        assert (await plane.asked("GET", f"/api/admin/{kind}/{'x' * 3_000}")).status_code == 404


@pytest.mark.parametrize("metadata", [b'{"a": "\\ud800"}', b'{"\\udfff": "b"}'])
async def test_half_a_character_is_refused_before_a_key_is_made_that_nobody_is_shown(plane: Control, metadata: bytes) -> None:
    content = b'{"name": "ci", "metadata": ' + metadata + b"}"
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    response = await plane.client.request("POST", KEYS, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "metadata")
    assert (await plane.done("GET", KEYS))["data"] == []
