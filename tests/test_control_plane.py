"""From an environment to a control plane: the table, the configuration and the keys of real parts."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.stores import store_of

from pllm.bootstrap import SystemClock, admin
from pllm.control_plane import kept
from pllm.core.keys import KeyFields
from pllm.core.limits import key_scope
from pllm.live import App

CONFIG = """
model_list: [{model_name: m, params: {model: gpt-4, api_key: "${OPENAI_API_KEY}"}}]
auth:
  scrape_token: scrape-me
  iam: [{arn: "arn:aws:iam::1:role/team/dev", name: dev}]
"""
MASTER = {"authorization": "Bearer k"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return {"PLLM_CONFIG": str(path), "PLLM_MASTER_KEY": "k", "OPENAI_API_KEY": "sk-upstream"}


def client(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://control")


def test_a_pattern_that_matches_nobody_is_warned_of(environment: dict[str, str]) -> None:
    lines: list[dict[str, Any]] = []
    admin(environment, lines.append)
    assert any("has a path between" in str(line.get("warning")) for line in lines)


async def test_it_comes_up_and_shows_the_configuration(environment: dict[str, str]) -> None:
    async with client(admin(environment, lambda line: None)) as http:
        assert (await http.get("/ready")).json() == {"status": "ok"}
        assert (await http.get("/api/admin/models")).status_code == 401
        models = (await http.get("/api/admin/models", headers=MASTER)).json()["data"]
        assert [(model["name"], len(model["deployments"])) for model in models] == [("m", 1)]
        assert (await http.get("/api/admin/keys", headers=MASTER)).status_code == 503


async def test_without_a_master_key_it_says_so(environment: dict[str, str]) -> None:
    del environment["PLLM_MASTER_KEY"]
    async with client(admin(environment, lambda line: None)) as http:
        answer = await http.get("/ready")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["a master key"])


async def test_a_stopped_keys_gate_is_marked_and_unmarked_in_the_table() -> None:
    async with store_of("moto") as store:
        keys = kept(store, SystemClock(), lambda line: None).keys
        made = await keys.create(KeyFields("ci"), "master")
        gate = f"G#{key_scope(made.record.id)}"
        await keys.set_state(made.record.id, "disabled", "master")
        marked = await store.get(gate, "G")
        assert marked is not None
        assert marked["off"] is True
        await keys.set_state(made.record.id, "active", "master")
        unmarked = await store.get(gate, "G")
        assert unmarked is not None
        assert "off" not in unmarked


async def test_its_log_line_names_the_trace_as_the_data_planes_does(environment: dict[str, str]) -> None:
    lines: list[dict[str, Any]] = []
    environment["_X_AMZN_TRACE_ID"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0"
    async with client(admin(environment, lines.append)) as http:
        await http.get("/ready")
        environment["_X_AMZN_TRACE_ID"] = "Root=1-5759e989-bd862e3fe1be46a994272793;Sampled=0"
        await http.get("/ready", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    first, second = (line for line in lines if line.get("message") == "request")
    assert first["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert second["trace_id"] == f"1-{'a' * 8}-{'a' * 24}"
    assert second["xray_trace_id"] == "1-5759e989-bd862e3fe1be46a994272793"
