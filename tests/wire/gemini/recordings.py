"""Recorded generateContent traffic of the Gemini API and Vertex AI.

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

# Some recordings were asked for with enum-encoding=int, which the gateway never does.
_ENUMS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}


@dataclass(frozen=True)
class Recorded:
    """One exchange. `objects`: the answer's GenerateContentResponse objects, one where it was not a stream."""

    name: str
    status: int
    headers: dict[str, str]
    body: bytes
    objects: tuple[JsonObject, ...]
    request: JsonObject
    stream: bool


def _named_enums(answer: JsonObject) -> JsonObject:
    for candidate in answer.get("candidates") or ():
        if isinstance(candidate.get("finishReason"), int):
            candidate["finishReason"] = _ENUMS[candidate["finishReason"]]
    return answer


def _objects(response: dict[str, Any]) -> tuple[JsonObject, ...]:
    if "json" in response:
        found = response["json"] if isinstance(response["json"], list) else [response["json"]]
        return tuple(_named_enums(entry) for entry in found)
    lines = str(response.get("text", "")).splitlines()
    return tuple(_named_enums(json.loads(line[6:])) for line in lines if line.startswith("data: "))


def _all() -> Iterator[Recorded]:
    for provider in ("gemini", "vertex"):
        for path in sorted((FOLDER / provider).glob("*.json")):
            for number, exchange in enumerate(json.loads(path.read_text())["interactions"]):
                request, response = exchange.get("request") or {}, exchange["response"]
                if "enerateContent" not in (request.get("uri") or ""):
                    continue
                objects = _objects(response)
                stream = "streamGenerateContent" in request["uri"]
                body = b"".join(b"data: " + json.dumps(entry).encode() + b"\r\n\r\n" for entry in objects)
                yield Recorded(
                    f"{provider}/{path.stem}#{number}",
                    response["status"],
                    response.get("headers") or {},
                    body if stream else json.dumps(objects[0]).encode(),
                    objects,
                    request.get("json") or {},
                    stream,
                )


ALL = tuple(_all()) if FOLDER.is_dir() else ()
STREAMS = tuple(r for r in ALL if r.stream and r.status == 200)
ANSWERS = tuple(r for r in ALL if not r.stream and r.status == 200)
ERRORS = tuple(r for r in ALL if r.status >= 400)


def named(recordings: tuple[Recorded, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recorded", recordings, ids=[r.name for r in recordings])


def find(fragment: str) -> Recorded:
    return next(r for r in ALL if fragment in r.name)
