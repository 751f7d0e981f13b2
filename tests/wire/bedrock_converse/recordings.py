"""Recorded traffic with Bedrock's Converse, read where it lies."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pllm.wire.eventstream import event


@dataclass(frozen=True)
class Recording:
    """One answer as it came over the wire. `stream`: an event stream; vercel/ai's chunk lists are framed anew."""

    name: str
    stream: bool
    status: int
    headers: dict[str, str]
    body: bytes
    request: Any


def folder() -> Path:
    named = os.environ.get("PLLM_CASSETTES")
    return (Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "cassettes") / "bedrock"


def recordings() -> list[Recording]:
    """Every Converse answer that was recorded. Skips loudly where there are none, and fails in CI."""
    if not folder().is_dir():
        missing = f"NO RECORDINGS at {folder()}: set PLLM_CASSETTES"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing, allow_module_level=True)
    return [found for path in sorted(folder().glob("*.json")) for found in _in_file(path)]


def _in_file(path: Path) -> Iterator[Recording]:
    for number, interaction in enumerate(json.loads(path.read_text(encoding="utf-8"))["interactions"]):
        request, response = interaction.get("request") or {}, interaction["response"]
        uri = request.get("uri") or ""
        stream = "chunks" in response or uri.endswith("/converse-stream")
        if stream or uri.endswith("/converse") or path.name.startswith("vercel-ai"):
            headers = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
            yield Recording(f"{path.stem}-{number}", stream, response["status"], headers, _body(response), request.get("json"))


def _body(response: dict[str, Any]) -> bytes:
    if "b64" in response:
        return base64.b64decode(response["b64"])
    if "chunks" in response:
        return b"".join(_frame(json.loads(chunk)) for chunk in response["chunks"])
    return json.dumps(response["json"]).encode() if "json" in response else response.get("text", "").encode()


def _frame(chunk: dict[str, Any]) -> bytes:
    ((name, payload),) = chunk.items()
    return event(name, json.dumps(payload).encode())
