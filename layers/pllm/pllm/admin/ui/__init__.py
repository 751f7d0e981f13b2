"""/ui: the admin page. Its files are public and know nothing; what they show they ask of the API, with the visitor's key.

No build step: the browser loads the modules as they are. Their addresses carry a hash of all of them (`/ui/<hash>/app.js`),
so that a browser asks once for each version and never mixes two; every request here is an invocation of a function. They are
sent as text and not compressed: what the function compressed would be binary, which the API takes for text.
"""

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pllm.admin.ui.files import StaticFile, packaged

router = APIRouter(include_in_schema=False)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
_REVALIDATED = "no-cache"
_KEPT = "public, max-age=31536000, immutable"

PAGE, FILES, VERSION = packaged()
# The page says "ui/..." of its files. Seen from /ui that is /ui/..., and from /ui/ it is /ui/ui/...: both are served.
_ADDRESS = re.compile(r"(?:ui/)?(?:(?P<version>[0-9a-f]{16})/)?(?P<name>.+)", re.ASCII)


@router.api_route("/ui", methods=["GET", "HEAD"])
@router.api_route("/ui/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    return _sent(PAGE, request, _REVALIDATED)


@router.api_route("/ui/{path:path}", methods=["GET", "HEAD"])
async def file(path: str, request: Request) -> Response:
    """A name that is not in the list of packaged files is nothing, whatever it looks like."""
    match = _ADDRESS.fullmatch(path)
    found = FILES.get(match["name"]) if match else None
    if match is None or found is None:
        return Response("There is no such file.\n", 404, {**_HEADERS, "cache-control": "no-store"}, "text/plain")
    # While a new version comes into use, one environment may be asked for the other's files: nobody may keep its answer.
    return _sent(found, request, _KEPT if match["version"] == VERSION else _REVALIDATED)


def _sent(file: StaticFile, request: Request, cache_control: str) -> Response:
    headers = {**_HEADERS, "cache-control": cache_control, "etag": file.etag}
    if file.etag in _etags(request.headers.get("if-none-match", "")):
        return Response(None, 304, headers)
    return Response(file.content, 200, headers, file.content_type)


def _etags(header: str) -> set[str]:
    return {name.strip().removeprefix("W/") for name in header.split(",")}
