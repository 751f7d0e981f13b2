"""Judges and recordings for the Responses wire."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def _events(stream: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream of ours, after a look that each event's name is its payload's type."""
    found: list[dict[str, Any]] = []
    assert stream == b"" or stream.endswith(b"\n\n")
    for block in stream.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, data = block.split("\n", 1)
        payload = json.loads(data.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        found.append(payload)
    return found


@pytest.fixture
def events() -> Callable[[bytes], list[dict[str, Any]]]:
    return _events


@pytest.fixture
def strict_events() -> Callable[[bytes], list[dict[str, Any]]]:
    """Like `events`, and each must be one of the official SDK's events, strictly, numbered from 0 without a gap."""

    def read(stream: bytes) -> list[dict[str, Any]]:
        found = _events(stream)
        for payload in found:
            _EVENT.validate_json(json.dumps(payload), strict=True)
        assert [payload["sequence_number"] for payload in found] == list(range(len(found)))
        return found

    return read


@pytest.fixture
def sdk() -> Callable[[bytes], OpenAI]:
    """The official SDK, talking to a server that answers everything with the given stream."""

    def connect(stream: bytes) -> OpenAI:
        def answer(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

        transport = httpx2.MockTransport(answer)
        return OpenAI(api_key="unused", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport))

    return connect


def _folder() -> Path:
    named = os.environ.get("PLLM_CASSETTES")
    return Path(named) if named else Path(__file__).parents[4] / "shared" / "cassettes"


def _interactions(*folders: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in folders:
        for path in sorted((_folder() / folder).glob("*.json")):
            for interaction in json.loads(path.read_text())["interactions"]:
                yield path.stem, interaction


def _require() -> None:
    if not _folder().is_dir():
        pytest.skip(f"no recordings in {_folder()}: set PLLM_CASSETTES")


@pytest.fixture(scope="session")
def recorded_requests() -> list[tuple[str, dict[str, Any]]]:
    """Bodies that clients sent to POST /responses, with the recording's name."""
    _require()
    return [
        (name, interaction["request"]["json"])
        for name, interaction in _interactions("openai-responses", "azure", "compatible")
        if str(interaction["request"].get("uri") or "").split("?")[0].endswith("/responses")
        and isinstance(interaction["request"].get("json"), dict)
    ]


@pytest.fixture(scope="session")
def recorded_answers() -> list[tuple[str, dict[str, Any]]]:
    """Finished Response objects."""
    _require()
    return [
        (name, interaction["response"]["json"])
        for name, interaction in _interactions("openai-responses", "azure", "compatible")
        if isinstance(interaction["response"].get("json"), dict)
        and interaction["response"]["json"].get("object") == "response"
        and isinstance(interaction["response"]["json"].get("output"), list)
    ]


@pytest.fixture(scope="session")
def recorded_streams() -> list[tuple[str, bytes]]:
    """Streams as they came; those recorded without framing get it back, one stream for each `response.created`."""
    _require()
    found: list[tuple[str, bytes]] = []
    for name, interaction in _interactions("openai-responses", "azure", "compatible"):
        response = interaction["response"]
        if "event: response.created" in str(response.get("text")):
            found.append((name, response["text"].replace("\r\n", "\n").encode()))
        chunks = response.get("chunks")
        if isinstance(chunks, list) and chunks and "response.created" in chunks[0]:
            framed = [f"event: {json.loads(chunk)['type']}\ndata: {chunk}\n\n" for chunk in chunks]
            starts = [n for n, chunk in enumerate(framed) if chunk.startswith("event: response.created\n")]
            found += [(name, "".join(framed[a:b]).encode()) for a, b in zip(starts, [*starts[1:], len(framed)], strict=True)]
    return found
