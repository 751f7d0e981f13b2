"""What the tests of legacy Completions share."""

from typing import Any

from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import Event, Request
from pllm.wire.openai_completions import client

BASE: dict[str, Any] = {"model": "public", "prompt": "Once"}
CONTEXT = AnswerContext(model="public", created_s=1_700_000_000, id_seed="5eed")


def decode(**fields: Any) -> Request:
    return client.decode({**BASE, **fields})


def stream(events: list[Event], **fields: Any) -> bytes:
    return client.encoder(decode(**fields), CONTEXT).feed(events)
