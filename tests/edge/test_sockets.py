"""What becomes of a request when the provider's socket misbehaves: byte by byte, as a client and an operator see it."""

from collections.abc import Sequence

import pytest
from tests.support.gateway import deployment, gateway
from tests.support.upstream import Cut, Reset, Step, upstream

BUSY = b'{"error": {"message": "come back later", "type": "requests", "code": "rate_limit_exceeded"}}'


@pytest.mark.parametrize(
    "rest",
    [(BUSY, Cut()), (BUSY[:30], Cut()), (BUSY[:30], Reset()), (Cut(),)],
    ids=["only its length is wrong", "closed in the middle", "reset in the middle", "closed before it"],
)
async def test_an_error_whose_body_breaks_off_is_the_error_that_its_status_says(rest: Sequence[Step]) -> None:
    head = b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(head, *rest)
        response = await gw.chat()
        assert (response.status_code, response.headers["retry-after"]) == (429, "7")
        if rest[0] == BUSY:
            assert response.json()["error"]["message"] == "come back later"
