"""Two deployments of one model, `m/bad` and `m/good`, and what is asked and answered there."""

from typing import Any

from tests.support.gateway import Harness, deployment
from tests.support.upstream import Upstream, event


def answer(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice], "usage": usage}


def delta(content: str | None = None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "g", "choices": [choice]})


async def who(gw: Harness, **body: Any) -> str:
    response = await gw.chat(**body)
    assert response.status_code == 200, response.text
    return str(response.headers["x-pllm-deployment"])


def two(bad: Upstream, good: Upstream, **more: Any) -> list[Any]:
    """The first is asked first as long as it is well."""
    first = deployment(bad.base_url, id="m/bad", priority=1, **more)
    return [first, deployment(good.base_url, id="m/good", priority=2, **more)]
