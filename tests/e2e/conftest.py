"""One `pllm local` for all tests of this folder, with the demo upstream behind it; a browser for each module that asks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.support.processes import Running, pllm_local

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def local() -> Iterator[Running]:
    with pllm_local("--model", "demo", "--workers", "3") as running:
        yield running


@pytest.fixture(scope="module")
def chrome() -> "Iterator[Browser]":
    """Until the module ends the thread's asyncio belongs to Playwright."""
    from tests.support.browser import browser  # skips where there is no Playwright, which the other modules can do without

    with browser() as opened:
        yield opened
