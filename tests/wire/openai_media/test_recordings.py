"""Recorded embeddings, images and transcriptions: requests keep everything but the model, answers every byte.

Read from the environment variable PLLM_CASSETTES or from ../shared/cassettes beside the checkout; never copied.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.wire.openai_media.lanes import lane_of

from pllm.core.errors import GatewayError
from pllm.wire.lane import Lane, Target
from pllm.wire.openai_media import ENDPOINTS, json_request

FOLDER = Path(os.environ.get("PLLM_CASSETTES", str(Path(__file__).resolve().parents[4] / "shared" / "cassettes")))

pytestmark = [
    pytest.mark.needs_cassettes,
    pytest.mark.skipif(
        not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
    ),
]

# Recordings of one answer without its request: file name -> endpoint.
_ANSWERS = {
    "vercel-ai--openai-image-edit": "images/edits",
    "vercel-ai--gpt-image-response-format-error": "images/generations",
    "vercel-ai--openai-transcription": "audio/transcriptions",
}


def interactions() -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """(recording, endpoint, request JSON or None, response) of what these endpoints serve."""
    for folder in ("openai-other", "azure", "compatible"):
        for path in sorted((FOLDER / folder).glob("*.json")):
            for one in json.loads(path.read_text("utf-8"))["interactions"]:
                where = urlsplit(one["request"].get("uri") or "").path
                found = _ANSWERS.get(path.stem) or next((name for name in ENDPOINTS if where.endswith(f"/{name}")), None)
                if found is not None:
                    yield path.stem, found, one["request"].get("json"), one["response"]


def lane(endpoint: str, body: Any = None) -> Lane:
    asked = json_request(ENDPOINTS[endpoint], {"model": "public", **(body or {})})
    return lane_of(asked, Target("text-embedding-up", "public", "openai"))


def _bytes(response: dict[str, Any]) -> bytes:
    return json.dumps(response["json"]).encode() if "json" in response else str(response["text"]).encode()


def test_every_recorded_request_passes_with_only_the_model_changed() -> None:
    seen = 0
    for name, endpoint, body, _ in interactions():
        if body is not None:
            assert json.loads(lane(endpoint, body).request.body) == {**body, "model": "text-embedding-up"}, name
            seen += 1
    assert seen >= 12


def test_every_recorded_answer_passes_byte_for_byte_with_its_usage() -> None:
    seen = set()
    for name, endpoint, _, response in interactions():
        if response["status"] != 200:
            continue
        raw = _bytes(response)
        answer = lane(endpoint).answer(raw, "application/json")
        assert answer.body == raw, name
        told = response["json"].get("usage") or {}
        assert answer.usage is not None, name
        assert answer.usage.total == told.get("total_tokens", 0), name
        seen.add(endpoint)
    assert seen == {"embeddings", "images/edits", "audio/transcriptions"}


def test_every_recorded_error_keeps_its_status_code_and_parameter() -> None:
    errors: list[GatewayError] = []
    for _, endpoint, _, response in interactions():
        if response["status"] >= 400:
            error = lane(endpoint).error(response["status"], {}, _bytes(response))
            stated = response["json"]["error"]
            assert (error.status, error.message) == (response["status"], stated["message"])
            assert error.param == stated.get("param")
            errors.append(error)
    assert {error.status for error in errors} == {400, 404}
