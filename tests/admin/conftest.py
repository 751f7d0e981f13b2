from collections.abc import AsyncIterator

import pytest
from tests.support.control import Control, control


@pytest.fixture
async def plane() -> AsyncIterator[Control]:
    async with control() as opened:
        yield opened
