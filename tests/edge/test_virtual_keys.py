"""Virtual keys at the front door: what opens it, what does not, and what is said to whom."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.door import MASTER_KEY, Door, door
from tests.support.key_service import KeyService, key_service

from pllm.core.allowances import Allowances
from pllm.core.config.policies import Budget, Budgets, Limit, Limits
from pllm.core.keys import Allowance, KeyFields, TeamFields
from pllm.core.limits import BudgetLimit
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError

WRONG = {
    "message": "Incorrect API key provided.",
    "type": "authentication_error",
    "param": None,
    "code": "invalid_api_key",
}
GUESS = "sk-pllm-" + "A" * 43


class Table(MemoryStore):
    """Counts what is read, and can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.down = False

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        self.reads.append(pk)
        if self.down:
            raise StateError("timeout", sent=False)
        return await super().get(pk, sk, consistent=consistent)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def service(table: Table) -> KeyService:
    return key_service(table)


@pytest.fixture
async def at(table: Table, service: KeyService) -> AsyncIterator[Door]:
    async with door(table, clock=service.clock) as opened:
        yield opened


async def made(service: KeyService, **fields: Any) -> tuple[str, str]:
    """(id, key)"""
    new = await service.keys.create(KeyFields("ci", **fields), "master")
    return new.record.id, new.secret.reveal()


async def test_a_key_is_who_it_was_made_for(at: Door, service: KeyService) -> None:
    await service.teams.create("search", TeamFields("Search"), "master")
    key_id, key = await made(service, team="search", tags=("a",))
    who = await at.who(key)
    assert (who["id"], who["name"], who["team"], who["role"], who["tags"]) == (key_id, "ci", "search", "user", ["a"])
    assert at.lines[-1]["principal"] == key_id
    assert key not in json.dumps(at.lines)


async def test_each_of_the_three_headers_takes_it(at: Door, service: KeyService) -> None:
    key_id, key = await made(service)
    for headers in ({"x-api-key": key}, {"api-key": key}, {"authorization": f"bearer {key}"}):
        assert (await at.get("/v1/embeddings/who", **headers)).json()["id"] == key_id


async def test_limits_and_budgets_of_key_and_team_come_with_it(at: Door, service: KeyService) -> None:
    budget = BudgetLimit(5_000_000, "day", "Europe/Berlin")
    team = await service.teams.create("search", TeamFields("Search", allowance=Allowance(tpm=9)), "master")
    key_id, key = await made(service, team="search", allowance=Allowance(rpm=3, max_parallel=2, budget=budget))
    limits = (await at.who(key))["limits"]
    assert [(one["scope"], one["rpm"], one["tpm"], one["max_parallel"], one["version"]) for one in limits] == [
        (f"key/{key_id}", 3, None, 2, 1),
        ("team/search", None, 9, None, team.version),
    ]
    assert limits[0]["budget"] == {"micro_usd": 5_000_000, "period": "day", "zone": "Europe/Berlin"}


async def test_the_configuration_limits_whom_the_record_does_not(table: Table, service: KeyService) -> None:
    allowances = Allowances(
        Limits(default_key=Limit(rpm=1), keys={"ci": Limit(rpm=2, sliding=True)}, default_team=Limit(rpm=50)),
        Budgets(default_key=Budget(amount=7)),
    )
    await service.teams.create("search", TeamFields("Search"), "master")
    async with door(table, clock=service.clock, allowances=allowances) as at:
        _, named = await made(service, team="search")
        other = (await service.keys.create(KeyFields("other"), "master")).secret.reveal()
        own = (await service.keys.create(KeyFields("ci", allowance=Allowance(tpm=3)), "master")).secret.reveal()
        assert [(one["rpm"], one["sliding"]) for one in (await at.who(named))["limits"]] == [(2, True), (50, False)]
        assert [(one["rpm"], one["budget"]["micro_usd"]) for one in (await at.who(other))["limits"]] == [(1, 7)]
        assert [(one["rpm"], one["tpm"]) for one in (await at.who(own))["limits"]] == [(None, 3)]


async def test_the_list_of_models_is_the_keys_own(at: Door, service: KeyService) -> None:
    _, key = await made(service, models=("gpt-*",))
    names = [model["id"] for model in (await at.get("/v1/models", key)).json()["data"]]
    assert names == ["gpt-4o", "gpt-4o-mini"]
    for name in ("claude-sonnet", "claude-sonne"):  # what exists beyond the list is not to be found out by guessing
        refused = await at.get(f"/v1/models/{name}", key)
        assert (refused.status_code, "Did you mean" in refused.text) == (403, False)
    assert (await at.get("/v1/models", MASTER_KEY)).json()["data"][-1]["id"] == "fast"


async def test_a_model_must_be_within_the_keys_and_the_teams_patterns(at: Door, service: KeyService) -> None:
    await service.teams.create("search", TeamFields("Search", models=("*-mini", "claude-*")), "master")
    _, key = await made(service, team="search", models=("gpt-*",))
    statuses = {}
    for model in ("gpt-4o", "gpt-4o-mini", "claude-sonnet"):
        answer = await at.client.post("/v1/chat/completions", json={"model": model}, headers={"authorization": f"Bearer {key}"})
        statuses[model] = answer.status_code
    assert statuses == {"gpt-4o": 403, "gpt-4o-mini": 200, "claude-sonnet": 403}


async def test_scopes_confine_a_key_to_endpoints_and_models_may_always_be_listed(at: Door, service: KeyService) -> None:
    _, key = await made(service, scopes=("chat",))
    assert await at.status(key, "/v1/embeddings/who") == 403
    assert await at.status(key, "/v1/models") == 200
    posted = await at.client.post("/v1/chat/completions", json={"model": "gpt-4o"}, headers={"x-api-key": key})
    assert posted.status_code == 200
    refusal = (await at.get("/v1/embeddings/who", key)).json()["error"]
    assert (refusal["code"], refusal["type"]) == ("permission_denied", "permission_error")


async def test_a_viewer_looks_and_calls_nothing(at: Door, service: KeyService) -> None:
    _, key = await made(service, role="viewer")
    assert await at.status(key, "/v1/models") == 200
    posted = await at.client.post("/v1/chat/completions", json={"model": "gpt-4o"}, headers={"x-api-key": key})
    assert posted.status_code == 403


async def test_expired_disabled_and_revoked_keys_get_a_401_of_the_same_shape(at: Door, service: KeyService) -> None:
    now_s = int(service.clock.wall_s())
    keys = {"has expired": await made(service, expires_s=now_s + 10)}
    for state in ("disabled", "revoked"):
        keys[f"is {state}"] = await made(service)
        await service.keys.set_state(keys[f"is {state}"][0], state, "master")
    service.clock.advance(11)
    for words, (_, key) in keys.items():
        response = await at.get("/v1/models", key)
        assert response.status_code == 401
        assert response.json()["error"] == {**WRONG, "message": f"This API key {words}."}
        assert response.headers["www-authenticate"] == "Bearer"


async def test_expiry_needs_no_reading(at: Door, service: KeyService, table: Table) -> None:
    _, key = await made(service, expires_s=int(service.clock.wall_s()) + 10)
    assert await at.status(key) == 200
    table.reads.clear()
    service.clock.advance(10)
    assert await at.status(key) == 401
    assert table.reads == []


async def test_a_rotated_key_works_until_its_grace_ends_though_it_is_remembered(at: Door, service: KeyService) -> None:
    key_id, old = await made(service)
    new = (await service.keys.rotate(key_id, "master", grace_s=30)).secret.reveal()
    assert [await at.status(key) for key in (old, new)] == [200, 200]
    service.clock.advance(29)
    assert [await at.status(key) for key in (old, new)] == [200, 200]
    service.clock.advance(1)
    assert [await at.status(key) for key in (old, new)] == [401, 200]


@pytest.mark.parametrize(
    "key",
    [
        GUESS,
        GUESS[:-1],
        GUESS + "A",
        GUESS.upper(),
        "sk-pllm-" + "-" * 43,
        "sk-pllm-" + "\u0130" * 43,
        "sk-pllm-",
        "x" * 100_000,
        "sk-pllm-" + "A" * 100_000,
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "K#" + "0" * 64,
        "\u00fc\u00f1\u00ed",
        "sk-pllm-" + "A" * 42 + "\u00e9",
    ],
)
async def test_every_key_that_is_none_gets_the_same_answer(at: Door, key: str) -> None:
    raw = [(b"authorization", b"Bearer " + key.encode("utf-8"))]
    response = await at.client.get("/v1/models", headers=raw)
    assert response.status_code == 401
    assert response.json()["error"] == WRONG


async def test_what_has_not_the_form_of_a_key_costs_no_reading(at: Door, table: Table) -> None:
    for key in ("nonsense", "sk-pllm-short", "A" * 100_000, "sk-" + "a" * 48):
        await at.status(key)
    assert table.reads == []
    await at.status(GUESS)
    assert len(table.reads) == 1


async def test_guessing_one_key_again_and_again_costs_one_reading_in_a_while(at: Door, table: Table) -> None:
    for _ in range(20):
        assert await at.status(GUESS) == 401
    assert len(table.reads) == 1


async def test_the_hash_of_a_key_is_no_key(at: Door, service: KeyService) -> None:
    record = (await service.keys.create(KeyFields("ci"), "master")).record
    assert await at.status(record.sha256) == 401
    assert await at.status(record.id) == 401


@pytest.mark.parametrize("second", ["x-api-key", "api-key"])
async def test_two_different_credentials_are_refused_though_both_are_good(at: Door, service: KeyService, second: str) -> None:
    _, one = await made(service)
    _, two = await made(service)
    for a, b in ((one, two), (one, MASTER_KEY), (MASTER_KEY, one), (one, "junk"), ("junk", one), (one, "")):
        response = await at.get("/v1/models", a, **{second: b})
        assert response.status_code == 401
        assert response.json()["error"] == WRONG
    assert (await at.get("/v1/models", one, **{second: one})).status_code == 200


async def test_a_key_sent_twice_in_one_header_must_be_the_same(at: Door, service: KeyService) -> None:
    _, one = await made(service)
    _, two = await made(service)
    headers = [(b"authorization", f"Bearer {one}".encode()), (b"authorization", f"Bearer {two}".encode())]
    assert (await at.client.get("/v1/models", headers=headers)).status_code == 401
    assert (await at.client.get("/v1/models", headers=[headers[0], headers[0]])).status_code == 200


async def test_with_the_table_down_a_known_key_works_and_an_unknown_one_is_no_401(
    at: Door, service: KeyService, table: Table
) -> None:
    _, known = await made(service)
    _, new = await made(service)
    assert await at.status(known) == 200
    table.down = True
    service.clock.advance(600)
    assert await at.status(known) == 200
    response = await at.get("/v1/models", new)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert response.json()["error"]["code"] == "service_unavailable"
    assert await at.status(MASTER_KEY) == 200
    service.clock.advance(73)
    assert await at.status(known) == 503


async def test_a_team_that_cannot_be_read_lets_nobody_past_its_limits(at: Door, service: KeyService, table: Table) -> None:
    await service.teams.create("search", TeamFields("Search", allowance=Allowance(rpm=1)), "master")
    _, key = await made(service, team="search")
    get = table.get

    async def teams_are_down(pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        if pk == "TL":
            raise StateError("throttled", sent=False)
        return await get(pk, sk, consistent=consistent)

    table.get = teams_are_down  # type: ignore[method-assign]
    assert await at.status(key) == 503
    table.get = get  # type: ignore[method-assign]
    assert await at.status(key) == 200


async def test_a_revoked_key_is_refused_within_72_seconds(at: Door, service: KeyService, table: Table) -> None:
    for _ in range(20):
        key_id, key = await made(service)
        assert await at.status(key) == 200
        await service.keys.set_state(key_id, "revoked", "master")
        service.clock.advance(72)
        assert await at.status(key) == 401


async def test_a_deleted_key_is_as_unknown_as_one_that_never_was(at: Door, service: KeyService) -> None:
    key_id, key = await made(service)
    await service.keys.delete(key_id, "master")
    assert (await at.get("/v1/models", key)).json()["error"] == WRONG


async def test_a_record_under_another_keys_hash_opens_nothing(at: Door, service: KeyService, table: Table) -> None:
    """As if somebody could write one item but not find a key for its hash."""
    from pllm.core.keys import digest_of

    record = (await service.keys.create(KeyFields("ci"), "master")).record
    table.items[(f"K#{digest_of(GUESS)}", "M")] = table.items[(f"K#{record.sha256}", "M")]
    assert await at.status(GUESS) == 401


async def test_without_a_table_there_are_no_virtual_keys() -> None:
    async with door() as at:
        assert await at.status(GUESS) == 401
        assert await at.status(MASTER_KEY) == 200


async def test_other_fields_reach_the_door_with_the_next_reading(at: Door, service: KeyService) -> None:
    key_id, key = await made(service)
    assert await at.status(key, "/v1/models/claude-sonnet") == 200
    await service.keys.update(key_id, lambda fields: replace(fields, models=("gpt-*",)), "master")
    service.clock.advance(72)
    assert await at.status(key, "/v1/models/claude-sonnet") == 403
