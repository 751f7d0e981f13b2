"""/api/admin/models, /routes and /config; and the OpenAPI file."""

import json
from pathlib import Path

from openapi_spec_validator import validate
from tests.support.control import CONFIG, Control

from pllm.admin.openapi import document

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi-admin.json"


async def test_models_are_listed_with_their_deployments_and_what_is_wrong_with_them(plane: Control) -> None:
    served, unusable = (await plane.done("GET", "/api/admin/models"))["data"]
    assert (served["name"], served["aliases"], served["problem"]) == ("gpt-4o", ["best"], None)
    (deployment,) = served["deployments"]
    assert (deployment["provider"], deployment["rpm"], deployment["tags"]) == ("openai", 100, ["fast"])
    assert len(deployment["credential"]) == 8
    assert (unusable["name"], unusable["deployments"], unusable["problem"]) == ("claude", [], "no credential was found.")


async def test_no_credential_of_a_provider_is_shown(plane: Control) -> None:
    for path in ("models", "routes", "config"):
        assert "sk-upstream" not in json.dumps(await plane.done("GET", f"/api/admin/{path}"))


async def test_routes_show_how_a_name_becomes_deployments(plane: Control) -> None:
    routes = await plane.done("GET", "/api/admin/routes")
    assert (routes["retries"], routes["aliases"], routes["fallbacks"]) == (
        3,
        {"best": ["gpt-4o", "claude"]},
        {"gpt-4o": ["claude"]},
    )
    (route,) = routes["routes"]
    assert (route["slug"], route["fallback_models"], route["strategy"]) == ("smart", ["claude"], routes["strategy"])
    assert [(one["model_name"], one["weight"]) for one in route["models"]] == [("gpt-4o", 3.0), ("claude", 1.0)]


async def test_the_configuration_in_use_is_named_by_version_and_etag(plane: Control) -> None:
    config = await plane.done("GET", "/api/admin/config")
    assert (config["version"], config["source"], config["models"], config["deployments"]) == (4, "config.yaml", 1, 1)
    assert config["not_served"] == ["claude"]
    same = await plane.done("POST", "/api/admin/config/check", json={"text": CONFIG})
    assert (same["valid"], same["etag"]) == (True, config["etag"])


async def test_a_check_says_what_is_wrong_and_where(plane: Control) -> None:
    text = "model_list:\n  - {modle_name: x, params: {model: gpt-4o}}\nrouter: {retries: many}\n"
    checked = await plane.done("POST", "/api/admin/config/check", json={"text": text, "filename": "new.yaml"})
    assert (checked["valid"], checked["etag"]) == (False, None)
    first = checked["problems"][0]
    assert (first["file"], first["line"], first["column"], first["severity"]) == ("new.yaml", 2, 5, "error")
    assert any("did you mean 'model_name'" in one["message"] + one["suggestion"] for one in checked["problems"])
    assert any(one["line"] == 3 and one["path"] == "router.retries" for one in checked["problems"])


async def test_a_check_survives_what_is_no_configuration(plane: Control) -> None:
    for text in ("", "\x00", "[" * 10_000, "&a [*a]", "{" * 50_000, "- " * 5_000):
        checked = await plane.done("POST", "/api/admin/config/check", json={"text": text})
        assert checked["valid"] is False
        assert checked["problems"]


def test_the_openapi_file_is_current() -> None:
    assert FILE.read_text("utf-8") == document(), "run: python -m pllm.admin.openapi > docs/openapi-admin.json"


def test_the_openapi_file_is_openapi() -> None:
    described = json.loads(FILE.read_text("utf-8"))
    validate(described)
    assert described["security"]
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert all(operation["summary"] and {"4XX", "5XX"} <= set(operation["responses"]) for operation in operations)
