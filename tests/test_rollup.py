"""The scheduled function as Lambda runs it: a plain handler around the table."""

import asyncio
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from tests.support.dynamodb import client_of, create_table, table_of
from tests.support.processes import ROOT
from tests.support.provider_thread import ProviderThread, provider_thread
from tests.support.versions import history_of

from pllm.bootstrap import SystemClock, rollup
from pllm.state.fleet_reader import FleetReader
from pllm.state.store import StateError


@pytest.fixture
def table() -> Iterator[Any]:
    with mock_aws():
        client = client_of()
        create_table(client, "pllm")
        yield client


def test_it_does_what_is_due_whatever_it_is_called_with(table: Any) -> None:
    lines: list[dict[str, Any]] = []
    handler = rollup({"PLLM_TABLE": "pllm", "AWS_REGION": "us-east-1"}, lines.append)
    first, second = handler({"source": "aws.events"}, None), handler({}, object())
    assert first["hours"] in (45, 46)  # what the minutes of two days reach back to
    assert second["hours"] in range(3, 30)  # what may have been told late
    assert first["rows"] == second["rows"] == 0
    assert [line["message"] for line in lines] == ["usage rolled up"] * 2
    item = table.get_item(TableName="pllm", Key={"PK": {"S": "U#mark"}, "SK": {"S": "rolled up"}})["Item"]
    assert int(item["until"]["N"]) % 3600 == 0


def test_without_a_table_it_does_not_come_up() -> None:
    with pytest.raises(RuntimeError, match="PLLM_TABLE"):
        rollup({})


def test_its_handler_is_what_the_template_names() -> None:
    code = "import handler; print(callable(handler.handler))"
    environment = {"PLLM_TABLE": "t", "PYTHONPATH": f"{ROOT}/layers/pllm:{ROOT}/functions/rollup", "AWS_REGION": "us-east-1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


def test_a_job_that_there_is_not_is_refused(table: Any) -> None:
    handler = rollup({"PLLM_TABLE": "pllm", "AWS_REGION": "us-east-1"}, lambda line: None)
    with pytest.raises(ValueError, match="no job 'probes': 'health-probes'"):
        handler({"job": "probes"}, None)


# --- Health probes, by the handler that the template names, on DynamoDB Local ----------------------------------------


@pytest.fixture
def lists() -> Iterator[ProviderThread]:
    with provider_thread() as server:
        yield server


class Context:
    """As Lambda hands it over."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def config(*models: str, address: str) -> str:
    entries = [
        f"{{model_name: {name}, params: {{model: compatible/{name}, api_base: '{address}', api_key: '${{UPSTREAM}}'}}}}"
        for name in models
    ]
    return f"model_list: [{', '.join(entries)}]\n"


@pytest.mark.needs_java
def test_the_version_that_holds_is_probed_with_the_keys_of_the_moment(
    local_endpoint: str, lists: ProviderThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with table_of(client_of(local_endpoint), "probed") as store:
        file = tmp_path / "config.yaml"
        file.write_text(config("deployed", address=lists.address))
        variables = {
            "PLLM_TABLE": "probed", "PLLM_DYNAMODB_ENDPOINT": local_endpoint, "PLLM_CONFIG": str(file),
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "UPSTREAM": "sk-upstream",
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        handle = runpy.run_path(str(ROOT / "functions" / "rollup" / "handler.py"))["handler"]
        event = {"job": "health-probes"}
        assert handle(event, Context()) == {"ok": 1, "failed": 0, "unclear": 0, "lost": 0, "late": 0}
        assert lists.seen == [("GET", "/v1/models", "Bearer sk-upstream")]
        assert handle(event, Context())["ok"] == 0  # heard of a moment ago
        asyncio.run(history_of(store).publish(config("fresh", "other", address=lists.address), expected=0, by="admin"))
        assert handle(event, Context())["ok"] == 2
        assert len(lists.seen) == 3
        fleet = asyncio.run(FleetReader(store, SystemClock()).read())
        assert {name.split("@")[0] for name in fleet.last_success_ms()} == {"deployed", "fresh", "other"}


@pytest.mark.needs_java
def test_probes_are_logged_as_the_configuration_says_and_counted_all_the_same(
    local_endpoint: str, lists: ProviderThread, tmp_path: Path
) -> None:
    with table_of(client_of(local_endpoint), "quiet"):
        file = tmp_path / "config.yaml"
        file.write_text(config("m", address=lists.address) + "logging: {level: warning}\n")
        environment = {
            "PLLM_TABLE": "quiet", "PLLM_DYNAMODB_ENDPOINT": local_endpoint, "PLLM_CONFIG": str(file),
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "UPSTREAM": "sk-upstream",
            "PLLM_METRICS_NAMESPACE": "Ours",
        }  # fmt: skip
        lines: list[dict[str, Any]] = []
        with pytest.MonkeyPatch.context() as patch:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.setenv(name, environment[name])
            assert rollup(environment, lines.append)({"job": "health-probes"}, None)["ok"] == 1
    (line,) = lines
    assert (line["ProbesOk"], line["_aws"]["CloudWatchMetrics"][0]["Namespace"]) == (1, "Ours")


def test_without_the_table_nothing_is_guessed(lists: ProviderThread, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config("m", address=lists.address))
    environment = {
        "PLLM_TABLE": "t", "PLLM_DYNAMODB_ENDPOINT": "http://127.0.0.1:9", "PLLM_CONFIG": str(file), "UPSTREAM": "sk-upstream",
        "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y",
    }  # fmt: skip
    with pytest.raises(StateError):
        rollup(environment, lambda line: None)({"job": "health-probes"}, None)
    assert lists.seen == []
