"""The same store three times: the memory twin, moto, and DynamoDB Local where it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.support.dynamodb import create_table

from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore
from pllm.state.table import DynamoStore

TABLE = "pllm-contract"
KINDS = ("memory", "moto", pytest.param("local", marks=pytest.mark.needs_java))
"""For a fixture's `params`."""


@asynccontextmanager
async def store_of(kind: str, endpoint: str = "") -> AsyncIterator[TransactionalStore]:
    """An empty store; `endpoint` is DynamoDB Local's and only asked for when kind is "local"."""
    if kind == "memory":
        yield MemoryStore()
    elif kind == "moto":
        with mock_aws():
            async with _dynamo(boto3.client("dynamodb", region_name="us-east-1")) as store:
                yield store
    else:
        credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        client = boto3.client("dynamodb", endpoint_url=endpoint, region_name="us-east-1", **credentials)
        async with _dynamo(client) as store:
            yield store
        client.delete_table(TableName=TABLE)


@asynccontextmanager
async def _dynamo(client: Any) -> AsyncIterator[DynamoStore]:
    create_table(client, TABLE)
    store = DynamoStore(lambda: client, TABLE)
    yield store
    store.close()
