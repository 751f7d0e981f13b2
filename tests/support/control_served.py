"""A control plane on a port of this machine, for commands that speak HTTP with it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.control import control
from tests.support.door import MASTER_KEY
from tests.support.served import served


@contextmanager
def named_control(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """Serves one as long as the block lasts; the environment says where, and has its master key."""
    with served(control, lambda made: made.app) as found:
        environment.setenv("PLLM_URL", f"{found.url}/v1")
        environment.setenv("PLLM_KEY", MASTER_KEY)
        yield
