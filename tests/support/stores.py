"""The same store three times: the memory twin, moto, and DynamoDB Local where it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from moto import mock_aws
from tests.support.dynamodb import client_of, table_of

from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore

TABLE = "pllm-contract"
KINDS = ("memory", "moto", pytest.param("local", marks=pytest.mark.needs_java))
"""For a fixture's `params`."""


@asynccontextmanager
async def store_of(kind: str, endpoint: str = "") -> AsyncIterator[TransactionalStore]:
    """An empty store; `endpoint` is DynamoDB Local's and only asked for when kind is "local"."""
    if kind == "memory":
        yield MemoryStore()
    elif kind == "moto":
        with mock_aws(), table_of(client_of(), TABLE) as store:
            yield store
    else:
        with table_of(client_of(endpoint), TABLE) as store:
            yield store
