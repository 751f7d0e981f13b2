"""Paths, methods, health, models, and the two lines that end each request."""

import json

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.upstream import upstream

from pllm.edge.app import Edge, Gateway


async def test_health_needs_no_key_and_ready_says_what_is_missing() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        del gw.client.headers["authorization"]
        assert (await gw.client.get("/health")).json() == {"status": "ok"}
        assert (await gw.client.get("/ready")).json() == {"status": "ok"}


async def test_ready_is_503_while_something_is_missing() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], missing=("a master key",)) as gw:
        response = await gw.client.get("/ready")
        assert (response.status_code, response.json()["missing"]) == (503, ["a master key"])
        assert (await gw.client.get("/health")).status_code == 200


async def test_models_lists_models_and_aliases() -> None:
    async with upstream() as up:
        many = [deployment(up.base_url, id=f"{n}/1", model_name=n) for n in ("a", "openai/gpt-4")]
        async with gateway(many, aliases={"smart": ("a",)}) as gw:
            listing = (await gw.client.get("/v1/models")).json()
            assert listing["object"] == "list"
            assert [m["id"] for m in listing["data"]] == ["a", "openai/gpt-4", "smart"]
            assert all(m["object"] == "model" and isinstance(m["created"], int) for m in listing["data"])
            assert (await gw.client.get("/v1/models/openai/gpt-4")).json()["owned_by"] == "openai"
            assert (await gw.client.get("/v1/models/openai%2Fgpt-4")).json()["id"] == "openai/gpt-4"
            assert (await gw.client.get("/v1/models/smart")).json()["alias_of"] == ["a"]


async def test_an_unknown_model_is_a_404_that_names_a_near_one() -> None:
    async with upstream() as up, gateway([deployment(up.base_url, model_name="my-gpt-4")]) as gw:
        response = await gw.client.get("/v1/models/my-gpt4")
        assert response.status_code == 404
        assert "'my-gpt-4'" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/chat/completions", "/v1/chat", "/v1/chat/completions/x"])
async def test_an_unknown_path_is_a_404(path: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post(path)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"


async def test_a_wrong_method_is_a_405_that_names_the_right_one() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.get("/v1/chat/completions")
        assert response.status_code == 405
        assert "POST" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/assistants", "/v1/fine_tuning/jobs", "/v1/threads/x/runs"])
async def test_what_is_left_out_says_so(path: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        response = await gw.client.post(path)
        assert response.status_code == 501
        assert path in response.json()["error"]["message"]


async def test_each_request_ends_with_one_metric_line_and_one_log_line() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        await gw.client.get("/v1/models")
        await gw.client.get("/nowhere")
        assert len(gw.lines) == 4
        first, second = (line for line in gw.lines if "_aws" in line)
        assert (first["Requests"], first["Errors"], first["ColdStart"]) == (1, 0, 1)
        assert (second["Errors"], second["http.response.status_code"]) == (1, 404)
        assert "ColdStart" not in second


async def test_an_emf_line_has_every_metric_and_dimension_that_it_declares() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will_answer({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]})
        await gw.chat()
        line = gw.emf()
        directives = line["_aws"]["CloudWatchMetrics"]
        assert {directive["Namespace"] for directive in directives} == {"PLLM"}
        assert [directive["Dimensions"] for directive in directives] == [
            [["function"], ["model"], ["model", "provider"]],
            [["function"]],
        ]
        for name in [metric["Name"] for directive in directives for metric in directive["Metrics"]]:
            assert isinstance(line[name], int | float)
        for dimension in ("function", "model", "provider"):
            assert isinstance(line[dimension], str)
        assert json.dumps(line)


async def test_a_bug_is_a_500_that_logs_its_place_and_not_its_words() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:

        async def broken(exchange: object) -> None:
            raise KeyError("the patient's name")

        edge = gw.edge
        app = Gateway(Edge({"/v1/x": {"GET": ("x", broken)}}, edge.authenticator, edge.clock, edge.new_id, edge.emit))
        response = await gw.against(app).get("/v1/x")
        assert response.status_code == 500
        assert response.json()["error"]["message"] == "The gateway failed."
        crash = next(line for line in gw.lines if line.get("message") == "unhandled")
        assert "KeyError in broken" in crash["at"]
        assert "patient" not in json.dumps(gw.lines)
