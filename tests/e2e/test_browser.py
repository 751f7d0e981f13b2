"""The judge of /ui is judged: what a bad page does wrong is seen, and a good page is not complained about."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from tests.support.browser import browser, violations, watched
from tests.support.served import served

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]

POLICY = {"content-security-policy": "default-src 'self'; img-src 'self' data:"}
GOOD = "<!doctype html><html lang=en><link rel=icon href=data:,><title>Good</title><main><h1>Good</h1></main>"
BAD = (
    GOOD.replace("data:,", "/gone")
    + "<img src=/gone style='color: red'><script>complain('ran')</script><script src=/bad.js></script>"
)
SCRIPT = (
    "console.error('said'); setTimeout(() => { throw new Error('thrown') }); fetch('http://elsewhere.invalid/').catch(() => 0)"
)


async def answer(request: Request) -> Response:
    pages = {"/good": GOOD, "/bad": BAD}
    if request.url.path in pages:
        return HTMLResponse(pages[request.url.path], headers=POLICY)
    return Response(SCRIPT, media_type="text/javascript") if request.url.path == "/bad.js" else Response(status_code=502)


@asynccontextmanager
async def site() -> AsyncIterator[Starlette]:
    yield Starlette(routes=[Route("/{path:path}", answer)])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(site, lambda app: app) as found:
        yield found.url


def test_what_a_page_does_wrong_is_seen(url: str) -> None:
    with browser() as opened:
        with watched(opened, url, width=800, height=600) as bad:
            bad.page.goto("/bad", wait_until="networkidle")
            [alt] = [line for line in violations(bad.page) if "image-alt" in line]
            assert alt.startswith("critical")
            with pytest.raises(AssertionError):
                bad.forgive("nothing of this kind", patience_ms=0)
            refused = ("CSP script-src-elem", "CSP style-src-attr", "CSP connect-src", "Content Security Policy")
            bad.forgive("said", "thrown", *refused, "status 502", "502")
            assert bad.complaints == []  # also not that the script in the page ran
        with watched(opened, url, width=800, height=600) as good:
            good.page.goto("/good", wait_until="networkidle")
            assert (good.complaints, violations(good.page)) == ([], [])
