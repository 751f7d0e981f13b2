"""One `pllm local` for all tests of this folder, with the demo upstream behind it."""

from collections.abc import Iterator

import pytest
from tests.support.processes import Running, pllm_local


@pytest.fixture(scope="session")
def local() -> Iterator[Running]:
    with pllm_local("--model", "demo", "--workers", "3") as running:
        yield running
