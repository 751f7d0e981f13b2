"""What the tests of Chat share: pieces of a stream."""

import json
from typing import Any

from tests.support.gateway import Harness
from tests.support.upstream import event


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    inner = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": inner, "finish_reason": finish}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "g", "choices": [choice], **more})


DONE = event("[DONE]")


def events(text: str) -> list[Any]:
    found = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in found]


async def failure(gw: Harness, **body: Any) -> tuple[int, dict[str, Any]]:
    response = await gw.chat(**body)
    return response.status_code, response.json()["error"]
