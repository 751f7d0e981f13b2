"""Recorded Messages traffic: Anthropic's own, and Claude's bodies on Bedrock.

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

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
)


@dataclass(frozen=True)
class Recorded:
    """One exchange. `request` is empty where the recording has none; `body` is the answer as bytes."""

    name: str
    uri: str
    request: JsonObject
    status: int
    headers: dict[str, str]
    body: bytes
    stream: bool

    @property
    def counting(self) -> bool:
        return "count_tokens" in self.uri


def _is_messages(provider: str, uri: str, response: dict[str, Any]) -> bool:
    if provider == "bedrock":
        return "anthropic" in uri and uri.endswith("/invoke")
    foreign = uri and "api.anthropic.com" not in uri
    return not foreign and ("json" in response or "text" in response or "chunks" in response)


def _body(response: dict[str, Any]) -> tuple[bytes, bool]:
    if "chunks" in response:
        chunks = response["chunks"]
        # One fixture was stitched together from several messages: the first is one stream.
        ends = [number for number, chunk in enumerate(chunks, 1) if json.loads(chunk)["type"] == "message_stop"]
        return b"".join(b"data: %s\n\n" % chunk.encode() for chunk in chunks[: ends[0]]), True
    if "text" in response:
        return response["text"].encode(), "data:" in response["text"]
    return json.dumps(response["json"]).encode(), False


def _all() -> Iterator[Recorded]:
    for provider in ("anthropic", "bedrock"):
        for path in sorted((FOLDER / provider).glob("*.json")):
            for number, exchange in enumerate(json.loads(path.read_text())["interactions"]):
                request, response = exchange.get("request") or {}, exchange["response"]
                uri = request.get("uri") or ""
                if not _is_messages(provider, uri, response) or "skill-create" in path.stem:
                    continue
                body, stream = _body(response)
                sent = request.get("json")
                yield Recorded(
                    f"{provider}/{path.stem}#{number}",
                    uri,
                    sent if isinstance(sent, dict) else {},
                    response["status"],
                    response.get("headers") or {},
                    body,
                    stream,
                )


ALL = tuple(_all()) if FOLDER.is_dir() else ()

STREAMS = tuple(r for r in ALL if r.stream)
ANSWERS = tuple(r for r in ALL if not r.stream and r.status == 200 and not r.counting)
COUNTS = tuple(r for r in ALL if r.status == 200 and r.counting)
ERRORS = tuple(r for r in ALL if r.status >= 400)
REQUESTS = tuple(r for r in ALL if r.request)


def named(recordings: tuple[Recorded, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recorded", recordings, ids=[r.name for r in recordings])


def find(fragment: str) -> Recorded:
    return next(r for r in ALL if fragment in r.name)
