"""Settings of the whole suite: the same examples on every run, so that a red run is red again.

`HYPOTHESIS_PROFILE=explore pytest ...` looks for new ones.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.support.dynamodb import dynamodb_local

# Times are the machine's, and a busy one's are nobody's fault.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deterministic", _UNTIMED, derandomize=True)
settings.register_profile("explore", _UNTIMED, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))


@pytest.fixture(scope="session")
def local_endpoint() -> Iterator[str]:
    """One DynamoDB Local for all who ask: starting it costs more than most of their tests. Whoever makes a table removes it."""
    with dynamodb_local() as endpoint:
        yield endpoint


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start processes come first. They wait more than they work: while they wait, `make test`'s other workers go
    on, and what is left at the end is short and can be shared."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
