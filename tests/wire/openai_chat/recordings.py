"""Recorded Chat Completions traffic of many providers, as the tests of this folder need it.

Read from the environment variable PLLM_CASSETTES or from ../shared/cassettes beside the checkout; never copied.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pllm.core.jsontext import JsonObject

_BESIDE = Path(__file__).resolve().parents[4] / "shared" / "cassettes"
FOLDER = Path(os.environ.get("PLLM_CASSETTES", str(_BESIDE)))

PROVIDERS = ("openai-chat", "azure", "groq", "mistral", "openrouter", "compatible", "bedrock-mantle")

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
)


@dataclass(frozen=True)
class Recorded:
    """One exchange. `body` is the answer's bytes, SSE framing included; `request` is empty where none was recorded."""

    name: str
    status: int
    headers: dict[str, str]
    body: bytes
    request: JsonObject
    stream: bool


def _body(response: dict[str, Any]) -> bytes:
    if "chunks" in response:
        events = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in response["chunks"]]
        return "".join(f"data: {event}\n\n" for event in events if event != "[DONE]").encode() + b"data: [DONE]\n\n"
    return json.dumps(response["json"]).encode() if "json" in response else str(response.get("text", "")).encode()


def _all() -> Iterator[Recorded]:
    for provider in PROVIDERS:
        for path in sorted((FOLDER / provider).glob("*.json")):
            for number, exchange in enumerate(json.loads(path.read_text())["interactions"]):
                response, request = exchange["response"], exchange.get("request") or {}
                body = _body(response)
                asked = request.get("json")
                yield Recorded(
                    f"{provider}/{path.stem}#{number}",
                    response.get("status") or 200,
                    response.get("headers") or {},
                    body,
                    asked if isinstance(asked, dict) else {},
                    b"data:" in body[:4000] and b"chat.completion.chunk" in body,
                )


ALL = tuple(_all()) if FOLDER.is_dir() else ()

STREAMS = tuple(r for r in ALL if r.stream)
ANSWERS = tuple(r for r in ALL if not r.stream and r.status == 200 and b'"choices"' in r.body and b'"message"' in r.body)
ERRORS = tuple(r for r in ALL if r.status >= 400)
REQUESTS = tuple(r for r in ALL if "messages" in r.request and r.status == 200)


def named(recordings: tuple[Recorded, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recorded", recordings, ids=[r.name for r in recordings])


def find(fragment: str) -> Recorded:
    return next(r for r in ALL if fragment in r.name)
