"""What the tests of idempotency share: an upstream that counts, and what it answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
from tests.support.caller import Caller
from tests.support.gateway import KEY, deployment
from tests.support.upstream import Upstream, upstream

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


@asynccontextmanager
async def limited(caller: Caller) -> AsyncIterator[tuple[Upstream, openai.AsyncOpenAI]]:
    async with upstream() as up, caller.client(deployment(up.base_url)) as client:
        up.will_answer(ANSWER)
        yield up, openai.AsyncOpenAI(api_key=KEY, base_url="http://gateway/v1", http_client=client, max_retries=0)
