"""Callers that AWS has identified: what API Gateway says of them counts, and nothing that a client can send."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.door import MASTER_KEY, Door, door
from tests.support.key_service import key_service

from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budget, IamPrincipal, Limit, Limits
from pllm.core.keys import Allowance, TeamFields
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError

SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=AKIDTEST/20270115/eu-central-1/execute-api/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
)
ENTRIES = (
    IamPrincipal(arn="arn:aws:iam::123456789012:role/ci-*", name="ci", models=("gpt-*",), limit=Limit(rpm=5)),
    IamPrincipal(arn="arn:aws:iam::123456789012:role/ops", name="ops", role="viewer"),
    IamPrincipal(arn="arn:aws:iam::123456789012:user/*", name="people", team="people", budget=Budget(amount=9)),
)
ASSUMED = "arn:aws:sts::123456789012:assumed-role"


def identified(arn: str | None) -> dict[str, Any]:
    """An event as API Gateway makes it."""
    return {"requestContext": {"identity": {"userArn": arn, "accountId": "123456789012", "sourceIp": "203.0.113.7"}}}


@pytest.fixture
async def at() -> AsyncIterator[Door]:
    async with door(roles=ENTRIES) as opened:
        yield opened


async def who(at: Door, arn: str | None, path: str = "/iam/v1/embeddings/who") -> Any:
    at.event = identified(arn)
    response = await at.get(path, authorization=SIGNATURE)
    return response.json() if response.status_code == 200 else response.status_code


async def test_an_assumed_role_is_the_role_whatever_its_session_is_called(at: Door) -> None:
    one, two = await who(at, f"{ASSUMED}/ci-deploy/run-1"), await who(at, f"{ASSUMED}/ci-deploy/run-2@x.y")
    assert one == two
    assert (one["name"], one["role"], one["models"]) == ("ci", "user", ["gpt-*"])
    assert one["id"] == "iam/ci/123456789012:role/ci-deploy"
    assert [(limit["scope"], limit["rpm"]) for limit in one["limits"]] == [(f"key/{one['id']}", 5)]
    assert at.lines[-1]["principal"] == one["id"]


async def test_each_role_of_one_pattern_is_somebody_of_its_own(at: Door) -> None:
    assert (await who(at, f"{ASSUMED}/ci-a/x"))["id"] != (await who(at, f"{ASSUMED}/ci-b/x"))["id"]


async def test_a_user_is_known_by_its_own_arn_and_by_its_team(at: Door) -> None:
    caller = await who(at, "arn:aws:iam::123456789012:user/eng/ana")
    assert (caller["name"], caller["team"], caller["limits"][0]["budget"]["micro_usd"]) == ("people", "people", 9)


@pytest.mark.parametrize(
    "arn",
    [
        f"{ASSUMED}/other/ci-deploy",
        f"{ASSUMED}/ops2/x",
        f"{ASSUMED}/xops/x",
        "arn:aws:sts::999999999999:assumed-role/ci-deploy/x",
        "arn:aws:sts::123456789012:federated-user/ci-x",
        "arn:aws:iam::123456789012:root",
        "arn:aws-cn:sts::123456789012:assumed-role/ci-deploy/x",
        f"{ASSUMED}/ci-deploy",
        "",
        None,
        "not an arn",
    ],
)
async def test_whom_no_pattern_names_is_refused_with_json(at: Door, arn: str | None) -> None:
    at.event = identified(arn)
    response = await at.get("/iam/v1/models", authorization=SIGNATURE)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert "auth.iam" in response.json()["error"]["message"]


async def test_the_path_alone_identifies_nobody(at: Door) -> None:
    """As for a request that reached the function by another route than the one that AWS guards."""
    for path in ("/iam/v1/models", "/iam/models", "/iam/v1", "/iam/", "/iam/v1/"):
        for headers in ({"authorization": SIGNATURE}, {"authorization": f"Bearer {MASTER_KEY}"}, {}):
            status = (await at.get(path, **headers)).status_code
            # Outside /iam/v1/ the master key is the master key, and there is nothing.
            inside = path.startswith("/iam/v1/")
            assert status == (404 if "Bearer" in headers.get("authorization", "") and not inside else 401)


async def test_nothing_that_a_client_sends_is_an_identity(at: Door) -> None:
    forged = {"x-amz-user-arn": f"{ASSUMED}/ci-deploy/x", "userarn": f"{ASSUMED}/ci-deploy/x", "x-amzn-identity": "{}"}
    assert (await at.get("/iam/v1/models", authorization=SIGNATURE, **forged)).status_code == 401
    for event in ({}, {"requestContext": None}, {"requestContext": {"identity": None}}, {"identity": identified("arn:x")}):
        at.event = event
        assert (await at.get("/iam/v1/models", authorization=SIGNATURE)).status_code == 401


async def test_an_identity_elsewhere_opens_nothing(at: Door) -> None:
    assert await who(at, f"{ASSUMED}/ci-deploy/x", "/v1/models") == 401
    assert await who(at, f"{ASSUMED}/ci-deploy/x", "/api/v1/models") == 401


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "authorization"])
async def test_a_key_beside_the_signature_is_refused_the_master_key_too(at: Door, header: str) -> None:
    at.event = identified(f"{ASSUMED}/ci-deploy/x")
    value = f"Bearer {MASTER_KEY}" if header == "authorization" else MASTER_KEY
    assert (await at.get("/iam/v1/models", **{header: value})).status_code == 401
    assert (await at.get("/iam/v1/models", **{"authorization": SIGNATURE, header: value})).status_code == 401


async def test_a_signature_in_the_query_string_needs_no_header(at: Door) -> None:
    at.event = identified(f"{ASSUMED}/ci-deploy/x")
    assert (await at.get("/iam/v1/models?X-Amz-Signature=0")).status_code == 200


async def test_models_and_roles_hold_as_for_keys(at: Door) -> None:
    listed = await who(at, f"{ASSUMED}/ci-deploy/x", "/iam/v1/models")
    assert [model["id"] for model in listed["data"]] == ["gpt-4o", "gpt-4o-mini"]
    at.event = identified(f"{ASSUMED}/ops/x")
    posted = await at.client.post("/iam/v1/chat/completions", json={"model": "gpt-4o"}, headers={"authorization": SIGNATURE})
    assert posted.status_code == 403


async def test_a_team_of_the_configuration_has_its_records_limits() -> None:
    table = MemoryStore()
    await key_service(table, ManualClock()).teams.create("people", TeamFields("P", ("gpt-*",), Allowance(tpm=3)), "master")
    async with door(table, roles=ENTRIES, allowances=Allowances(Limits(keys={"people": Limit(rpm=2)}))) as at:
        caller = await who(at, "arn:aws:iam::123456789012:user/ana")
        assert caller["team_models"] == ["gpt-*"]
        assert [(limit["scope"], limit["rpm"], limit["tpm"]) for limit in caller["limits"]] == [
            (f"key/{caller['id']}", 2, None),
            ("team/people", None, 3),
        ]


async def test_a_team_that_cannot_be_read_is_a_503() -> None:
    class Down(MemoryStore):
        async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
            raise StateError("timeout", sent=False)

    async with door(Down(), roles=ENTRIES) as at:
        assert await who(at, "arn:aws:iam::123456789012:user/ana") == 503
        assert (await who(at, f"{ASSUMED}/ci-deploy/x"))["name"] == "ci"
