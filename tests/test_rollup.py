"""The scheduled function as Lambda runs it: a plain handler around the table."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.support.dynamodb import create_table
from tests.support.processes import ROOT

from pllm.bootstrap import rollup


@pytest.fixture
def table() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
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
