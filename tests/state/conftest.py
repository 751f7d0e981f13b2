"""What tests of stores share: one DynamoDB Local for each module that asks for it."""

from collections.abc import Iterator

import pytest
from tests.support.dynamodb import dynamodb_local


@pytest.fixture(scope="module")
def local_endpoint() -> Iterator[str]:
    with dynamodb_local() as endpoint:
        yield endpoint
