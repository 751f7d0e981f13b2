"""What the tests of media endpoints share: requests as JSON and as forms."""

import json
from typing import Any

import httpx2
from tests.support.gateway import Harness
from tests.wire.openai_media.forms import written

WAV = bytes(range(256)) * 40


def audio_head(content_type: str = "audio/wav") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


async def post(gw: Harness, path: str, **body: Any) -> httpx2.Response:
    return await gw.client.post(f"/v1/{path}", content=json.dumps({"model": "m", **body}))


async def post_form(gw: Harness, path: str, *fields: tuple[str, str], content: bytes = WAV) -> httpx2.Response:
    form = written([("model", "m"), *fields], [("file", "a.wav", content)])
    return await gw.client.post(f"/v1/{path}", content=form.body, headers={"content-type": form.content_type})
