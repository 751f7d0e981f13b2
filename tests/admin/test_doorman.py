"""Credential and role on every path: the route table is walked, so that no endpoint can be forgotten."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from tests.support.control import SCRAPE_TOKEN, Control, control
from tests.support.door import MASTER_KEY

from pllm.admin.app import api
from pllm.admin.doorman import OPEN, Doorman, is_open
from pllm.state.memory import MemoryStore
from pllm.state.store import Item, StateError


def walked(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Every endpoint, those of included routers too. Anything else that could answer is an error here: it must be known."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from walked(route.original_router.routes)
        else:
            assert isinstance(route, APIRoute), route
            yield route


ROUTES = sorted(
    (method, re.sub(r"{\w+(:\w+)?}", "some-id", route.path))
    for route in walked(api().routes)
    for method in route.methods or ()
    if not is_open(route.path, method)
)
NOWHERE = [("GET", "/"), ("GET", "/api/admin/nothing"), ("POST", "/api/admin"), ("GET", "/openapi.json"), ("GET", "/docs")]
NOWHERE += [("PUT", "/api/admin/keys"), ("OPTIONS", "/api/admin/keys"), ("TRACE", "/api/admin/keys"), ("GET", "/health/")]
NOWHERE += [("GET", "/uix"), ("POST", "/ui"), ("DELETE", "/ui/app.js")]


async def key_of(plane: Control, role: str) -> str:
    key: str = (await plane.done("POST", "/api/admin/keys", json={"name": role, "role": role}))["key"]
    return key


def test_what_is_open_to_strangers_is_health_and_the_files_of_the_page() -> None:
    """An endpoint that gets open by its path must be named here."""
    open_ = {
        (method, route.path) for route in walked(api().routes) for method in route.methods or () if is_open(route.path, method)
    }
    assert open_ == {("GET", "/health"), ("GET", "/ready")} | {
        (method, path) for method in ("GET", "HEAD") for path in ("/ui", "/ui/", "/ui/{path:path}")
    }


def test_every_path_that_the_documentation_promises_is_in_the_route_table() -> None:
    assert {path for _, path in ROUTES} >= {
        "/api/admin/keys",
        "/api/admin/keys/some-id",
        "/api/admin/keys/some-id/rotate",
        "/api/admin/teams",
        "/api/admin/audit",
        "/api/admin/models",
        "/api/admin/routes",
        "/api/admin/config",
        "/api/admin/config/check",
    }


@pytest.mark.parametrize(("method", "path"), ROUTES + NOWHERE)
async def test_every_path_wants_a_credential_and_a_role(plane: Control, method: str, path: str) -> None:
    reads = method in ("GET", "HEAD")
    user, viewer, admin = [await key_of(plane, role) for role in ("user", "viewer", "admin")]
    statuses = {}
    for name, key in (("none", ""), ("wrong", "sk-pllm-" + "0" * 43), ("user", user), ("viewer", viewer), ("admin", admin)):
        response = await plane.asked(method, path, key=key)
        statuses[name] = response.status_code
        if not response.is_success:
            assert method == "HEAD" or set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert (statuses["none"], statuses["wrong"], statuses["user"]) == (401, 401, 403)
    assert (statuses["viewer"] == 403) is not reads
    assert statuses["admin"] not in (401, 403)
    assert statuses["admin"] != 500


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_health_and_ready_are_for_everybody(plane: Control, path: str) -> None:
    response = await plane.asked("GET", path, key="")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_names_what_is_missing() -> None:
    async with control(missing=("a master key",)) as plane:
        response = await plane.asked("GET", "/ready", key="")
        assert (response.status_code, response.json()["missing"]) == (503, ["a master key"])
        assert (await plane.asked("GET", "/health", key="")).status_code == 200


async def test_a_revoked_administrator_is_out_within_72_seconds(plane: Control) -> None:
    admin = await plane.done("POST", "/api/admin/keys", json={"name": "ops", "role": "admin"})
    assert (await plane.asked("GET", "/api/admin/me", key=admin["key"])).json()["id"] == admin["id"]
    await plane.done("POST", f"/api/admin/keys/{admin['id']}/revoke")
    plane.service.clock.advance(72)
    assert (await plane.asked("GET", "/api/admin/me", key=admin["key"])).status_code == 401


async def test_the_scrape_token_opens_metrics_and_nothing_else(plane: Control) -> None:
    assert (await plane.asked("GET", "/metrics", key=SCRAPE_TOKEN)).status_code not in (401, 403)
    assert (await plane.asked("GET", "/metrics", key=SCRAPE_TOKEN + "x")).status_code == 401
    assert (await plane.asked("POST", "/metrics", key=SCRAPE_TOKEN)).status_code == 403
    for method, path in ROUTES:
        if path != "/metrics":
            assert (await plane.asked(method, path, key=SCRAPE_TOKEN)).status_code == 401
    assert (await plane.asked("GET", "/metrics", key="")).status_code == 401


async def test_every_answer_has_an_id_and_stays_nowhere(plane: Control) -> None:
    for response in (
        await plane.asked("GET", "/api/admin/keys"),
        await plane.asked("GET", "/api/admin/keys", key=""),
        await plane.asked("GET", "/nothing"),
    ):
        assert response.headers["x-request-id"] == "req-1"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert (await plane.asked("GET", "/api/admin/keys", key="")).headers["www-authenticate"] == "Bearer"


async def test_a_line_in_the_log_tells_of_each_request_and_of_no_credential(plane: Control) -> None:
    key = await key_of(plane, "admin")
    plane.lines.clear()
    await plane.asked("DELETE", "/api/admin/keys/key_nobody", key=key)
    (line,) = plane.lines
    assert (line["endpoint"], line["status"]) == ("DELETE /api/admin/keys/key_nobody", 404)
    assert line["principal"].startswith("key_")
    assert key not in str(plane.lines)


class _Broken(MemoryStore):
    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        raise RuntimeError("a bug that knows sk-secret")


async def test_a_bug_is_a_500_that_tells_the_log_its_place_and_nobody_its_words() -> None:
    async with control(_Broken()) as plane:
        response = await plane.asked("GET", "/api/admin/keys")
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal_error"
        assert "sk-secret" not in response.text + str(plane.lines)
        assert any("RuntimeError in query" in line.get("at", "") for line in plane.lines)


class _Down(MemoryStore):
    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        raise StateError("timeout", sent=False)


async def test_a_table_out_of_reach_is_no_401() -> None:
    async with control(_Down()) as plane:
        assert (await plane.asked("GET", "/api/admin/me", key="sk-pllm-" + "0" * 43)).status_code == 503
        assert (await plane.asked("GET", "/api/admin/me", key=MASTER_KEY)).json()["role"] == "admin"


async def test_only_http_is_served(plane: Control) -> None:
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    app = plane.client._transport.app  # type: ignore[attr-defined]
    assert isinstance(app, Doorman)
    with pytest.raises(RuntimeError, match="not websocket"):
        await app({"type": "websocket"}, nothing, nothing)
