"""/api/admin/config/versions, /rollback and /diff."""

import asyncio
import json
from typing import Any

import pytest
from tests.support.control import Control, control

from pllm.core.config import compile_config, load_compiled
from pllm.core.config.loader import load

PATH = "/api/admin/config"


def text(name: str, more: str = "") -> str:
    return f"model_list: [{{model_name: {name}, params: {{model: gpt-4{more}}}}}]\n"


async def publish(plane: Control, name: str, expected: int, **fields: Any) -> Any:
    return await plane.done("POST", f"{PATH}/versions", json={"text": text(name), "expected": expected, **fields})


async def test_a_published_version_is_listed_and_can_be_read_as_it_was_written(plane: Control) -> None:
    assert await plane.done("GET", f"{PATH}/versions") == {"object": "list", "current": 0, "data": []}
    answer = await plane.asked("POST", f"{PATH}/versions", json={"text": text("a"), "expected": 0, "note": "why"})
    assert (answer.status_code, answer.json()["version"], answer.json()["warnings"]) == (201, 1, [])
    await publish(plane, "b", 1)
    page = await plane.done("GET", f"{PATH}/versions")
    assert (page["current"], [one["version"] for one in page["data"]]) == (2, [2, 1])
    oldest = page["data"][1]
    assert (oldest["by"], oldest["note"], oldest["size"], oldest["etag"]) == (
        "master",
        "why",
        len(text("a")),
        answer.json()["etag"],
    )
    assert (await plane.done("GET", f"{PATH}/versions/1"))["text"] == text("a")
    audit = (await plane.done("GET", "/api/admin/audit"))["data"]
    assert [one["what"] for one in audit] == ["config.publish", "config.publish"]


async def test_of_two_who_publish_at_once_one_gets_a_409_that_says_what_holds(plane: Control) -> None:
    asked = [plane.asked("POST", f"{PATH}/versions", json={"text": text(name), "expected": 0}) for name in ("a", "b")]
    won, lost = sorted(await asyncio.gather(*asked), key=lambda answer: answer.status_code)
    assert (won.status_code, lost.status_code) == (201, 409)
    error = lost.json()["error"]
    assert (error["param"], error["message"]) == (
        "expected",
        "Version 1 is in use, not 0: somebody else has changed it; look at it and try again.",
    )
    assert [one["version"] for one in (await plane.done("GET", f"{PATH}/versions"))["data"]] == [1]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("modle_list: []\nrouter: {retries: many}\n", "config.yaml:2:"),
        (text("a", ", api_key: sk-0123456789abcdef"), "a credential stands in the file itself"),
        (text("a") + 'auth: {scrape_token: "${NOT_SET}"}', "NOT_SET is not set"),
    ],
)
async def test_a_bad_configuration_is_refused_with_all_that_is_wrong_and_the_old_one_stays(
    plane: Control, bad: str, words: str
) -> None:
    await publish(plane, "a", 0)
    status, param, message = await plane.refused("POST", f"{PATH}/versions", json={"text": bad, "expected": 1})
    assert (status, param) == (400, "text")
    assert words in message
    assert "0123456789abcdef" not in message
    assert (await plane.done("GET", f"{PATH}/versions"))["current"] == 1


async def test_publishing_warns_of_what_this_environment_lacks_and_publishes_all_the_same(plane: Control) -> None:
    lacking = text("a", ", api_key: '${MY_KEY}'") + "  - {model_name: b, params: {model: groq/llama}}\n"
    lacking = lacking.replace("model_list: [", "model_list:\n  - ").replace("]\n", "\n", 1)
    answer = await plane.done("POST", f"{PATH}/versions", json={"text": lacking, "expected": 0})
    assert [(one["severity"], one["path"], one["message"]) for one in answer["warnings"]] == [
        ("warning", "model_list[0]", "'model_list[0]' (a) is disabled: MY_KEY is not set"),
        (
            "warning",
            "model_list[1]",
            "'model_list[1]' (b) is disabled: no credential was found; Groq takes one in GROQ_API_KEY",
        ),
    ]
    checked = await plane.done("POST", f"{PATH}/check", json={"text": lacking, "filename": "config.yaml"})
    assert (checked["valid"], checked["problems"]) == (True, answer["warnings"])


async def test_a_check_knows_what_publishing_would_refuse(plane: Control) -> None:
    checked = await plane.done("POST", f"{PATH}/check", json={"text": text("a") + 'auth: {scrape_token: "${NOT_SET}"}'})
    assert checked["valid"] is False
    assert "NOT_SET is not set" in checked["problems"][0]["message"]


async def test_endless_problems_are_cut(plane: Control) -> None:
    bad = "model_list:\n" + "  - {modle_name: x}\n" * 200
    _, _, message = await plane.refused("POST", f"{PATH}/versions", json={"text": bad, "expected": 0})
    assert len(message.splitlines()) == 51
    assert message.splitlines()[-1].startswith("... and ")


async def test_going_back_moves_the_pointer_and_keeps_the_versions(plane: Control) -> None:
    for number, name in enumerate(("a", "b")):
        await publish(plane, name, number)
    assert (await plane.done("POST", f"{PATH}/rollback", json={"version": 1, "expected": 2}))["current"] == 1
    assert (await plane.done("POST", f"{PATH}/rollback", json={"version": 0, "expected": 1}))["current"] == 0
    assert len((await plane.done("GET", f"{PATH}/versions"))["data"]) == 2
    assert (await plane.refused("POST", f"{PATH}/rollback", json={"version": 9, "expected": 0}))[0] == 404
    assert (await plane.refused("POST", f"{PATH}/rollback", json={"version": 1, "expected": 2}))[0] == 409
    assert (await plane.refused("GET", f"{PATH}/versions/9"))[0] == 404


async def test_a_difference_is_that_of_the_lines(plane: Control) -> None:
    for number, name in enumerate(("a", "b")):
        await publish(plane, name, number)
    found = await plane.done("POST", f"{PATH}/diff", json={"text": text("c")})
    assert found["against"] == 2
    assert found["diff"] == f"--- version 2\n+++ proposed\n@@ -1 +1 @@\n-{text('b')}+{text('c')}"
    between = await plane.done("POST", f"{PATH}/diff", json={"version": 1, "against": 2})
    assert f"-{text('b')}+{text('a')}" in between["diff"]
    assert (await plane.done("POST", f"{PATH}/diff", json={"version": 2}))["diff"] == ""
    assert (await plane.refused("POST", f"{PATH}/diff", json={"version": 7}))[0] == 404
    assert (await plane.refused("POST", f"{PATH}/diff", json={"version": 1, "against": 7}))[0] == 404


async def test_against_the_deployed_configuration_meaning_is_compared_and_no_credential_shown(plane: Control) -> None:
    found = await plane.done("POST", f"{PATH}/diff", json={"text": text("new"), "against": 0})
    assert '+      "model_name": "new"' in found["diff"]
    assert '-      "model_name": "deployed"' in found["diff"]
    assert "sk-literal" not in json.dumps(found)
    assert "***" in found["diff"]
    status, _, message = await plane.refused("POST", f"{PATH}/diff", json={"text": "modle_list: []"})
    assert status == 400
    assert "model_list" in message


async def test_the_deployed_configuration_can_be_read_as_json_that_means_the_same() -> None:
    deployed = load(
        "model_list: [{model_name: m, params: {model: gpt-4o, api_key: '${KEY}'}, timeout: 30s, rpm: 5}]\n"
        "budgets: {default_key: {amount: 2.5, period: day}, teams: {t: {amount: 0.000001}}}\n"
        "auth: {iam: [{arn: 'arn:aws:iam::123456789012:role/x', name: n, budget: {amount: 3}}]}\n"
        "router: {routing_strategy: least-latency}\nlimits: {max_body: 5MB}\n"
    ).config
    async with control(deployed=load_compiled(compile_config(deployed))) as plane:
        found = await plane.done("GET", f"{PATH}/versions/0")
    assert (found["version"], load(found["text"]).config) == (0, deployed)


async def test_what_is_hidden_in_it_cannot_be_published_by_mistake(plane: Control) -> None:
    text = (await plane.done("GET", f"{PATH}/versions/0"))["text"]
    assert ("sk-literal" in text, "***" in text) == (False, True)
    assert (await plane.refused("POST", f"{PATH}/versions", json={"text": text, "expected": 0}))[:2] == (400, "text")


@pytest.mark.parametrize("body", [{}, {"text": "x", "version": 1}, {"text": "x", "againts": 1}, {"version": -1}])
async def test_half_a_comparison_is_refused(plane: Control, body: Any) -> None:
    assert (await plane.refused("POST", f"{PATH}/diff", json=body))[0] == 400


async def test_without_a_table_there_are_no_versions() -> None:
    async with control(table=False) as plane:
        status, _, message = await plane.refused("GET", f"{PATH}/versions")
    assert (status, "PLLM_TABLE" in message) == (503, True)
