"""The catalogue agrees with what providers were recorded to accept and to refuse."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pllm.core import catalogue as package
from pllm.core.catalogue import ModelCatalogue, parse

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "cassettes"
FOLDER = Path(os.environ.get("PLLM_CASSETTES", str(_BESIDE)))

pytestmark = [
    pytest.mark.needs_cassettes,
    pytest.mark.skipif(
        not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
    ),
]

TODAY = "2026-11-22"
PROVIDERS = {
    "anthropic": "anthropic",
    "bedrock": "bedrock",
    "gemini": "gemini",
    "vertex": "vertex",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openrouter": "openrouter",
    "groq": "groq",
    "mistral": "mistral",
}
_MODEL_IN_PATH = re.compile(r"/models?/([^/:?]+(?::\d+)?)[/:]")
_ANSWERED: dict[str, str | tuple[str, ...]] = {
    "anthropic": "claude-",
    "openai": ("gpt-", "o1", "o3", "o4"),
    "gemini": "gemini-",
    "vertex": "gemini-",
}
# Models of other providers that stand in these folders, retired ones nobody can call any more, and names made up by tests.
_NOT_OURS = {
    ("mistral", "mistral-tiny"),
    ("openrouter", "minimax/minimax-m2:free"),
    ("openrouter", "z-ai/glm-4.6"),
    ("bedrock", "ai21.j2-mid-v1"),
}


def exchanges() -> Iterator[tuple[str, str, dict[str, Any], int]]:
    """(registry name, model, request body, status) of every recorded call that says which model it wanted."""
    for folder, provider in PROVIDERS.items():
        for path in sorted((FOLDER / folder).glob("*.json")):
            for interaction in json.loads(path.read_text(encoding="utf-8"))["interactions"]:
                request, status = interaction.get("request") or {}, interaction["response"].get("status") or 200
                body = request.get("json")
                if not isinstance(body, dict):
                    continue
                in_path = _MODEL_IN_PATH.search(unquote(request.get("uri") or ""))
                model = body.get("model") or (in_path[1] if in_path else None)
                if isinstance(model, str) and model.startswith(_ANSWERED.get(provider, "")):
                    yield provider, model, body, status


@pytest.fixture(scope="module")
def packaged() -> ModelCatalogue:
    file = Path(package.__file__).with_name(package.PACKAGED)
    return parse(file.read_bytes(), file.name)


@pytest.fixture(scope="module")
def accepted() -> list[tuple[str, str, dict[str, Any]]]:
    return [(provider, model, body) for provider, model, body, status in exchanges() if status == 200]


def test_every_model_that_answered_in_a_recording_is_known(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    asked = {(provider, model) for provider, model, _ in accepted} - _NOT_OURS
    assert len(asked) > 60
    assert {place for place in asked if not packaged.profile_of(*place, TODAY).known} == set()


def test_no_parameter_that_was_accepted_is_called_refused(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    wrong = set()
    for provider, model, body in accepted:
        refused = packaged.profile_of(provider, model, TODAY).refused_params
        # The value that is the default anyway is accepted everywhere.
        said = {
            name for name, value in body.items() if value is not None and not (name in ("temperature", "top_p") and value == 1)
        }
        if clash := refused & said:
            wrong.add((provider, model, *sorted(clash)))
    assert wrong == set()


def test_thinking_was_asked_for_in_the_style_of_the_row(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    seen = 0
    for provider, model, body in accepted:
        extra = body.get("additionalModelRequestFields") or {}
        thinking = body.get("thinking") or extra.get("thinking") or {}
        style = packaged.profile_of(provider, model, TODAY).thinking
        if thinking.get("type") == "enabled":
            # Claude 4.6 still takes a budget; what it is asked for is adaptive.
            assert style == "budget" or "4-6" in model, (provider, model)
            seen += 1
        if thinking.get("type") == "adaptive":
            assert style == "adaptive", (provider, model)
            seen += 1
        if body.get("reasoning_effort") or extra.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort"):
            assert style in ("effort", "always") or not packaged.profile_of(provider, model, TODAY).known, (provider, model)
            seen += 1
        if (body.get("generationConfig") or {}).get("thinkingConfig"):
            assert style in ("budget", "level"), (provider, model)
            seen += 1
    assert seen > 20


def test_models_that_were_made_to_call_a_tool_or_follow_a_schema_can(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    seen = 0
    for provider, model, body in accepted:
        profile = packaged.profile_of(provider, model, TODAY)
        choice = (body.get("toolConfig") or {}).get("toolChoice") or body.get("tool_choice")
        forced = choice == "required" or (
            isinstance(choice, dict) and ("any" in choice or choice.get("type") in ("any", "tool"))
        )
        if forced:
            assert profile.supports_tools, (provider, model)
            assert profile.supports_tool_choice_any, (provider, model)
            seen += 1
        if body.get("outputConfig") or (body.get("output_config") or {}).get("format") or body.get("output_format"):
            assert profile.structured_output == "native", (provider, model)
            seen += 1
        if isinstance(body.get("response_format"), dict) and body["response_format"].get("type") == "json_schema":
            assert profile.structured_output == "native", (provider, model)
            seen += 1
        if body.get("tools") or body.get("toolConfig"):
            assert profile.supports_tools, (provider, model)
    assert seen > 20


def test_case_08_a_late_system_message_was_taken_where_the_row_says_so(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    took = {
        model
        for provider, model, body in accepted
        if provider == "anthropic" and any(message.get("role") == "system" for message in (body.get("messages") or [])[1:])
    }
    assert took
    assert all(packaged.profile_of("anthropic", model, TODAY).supports_system_in_messages for model in took)


def test_case_22_cache_points_were_taken_where_the_row_says_so(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    took = {model for provider, model, body in accepted if provider == "bedrock" and "cachePoint" in json.dumps(body)}
    assert took
    assert all(packaged.profile_of("bedrock", model, TODAY).supports_cache_marks for model in took)


def test_images_and_files_were_taken_where_the_row_says_so(
    packaged: ModelCatalogue, accepted: list[tuple[str, str, dict[str, Any]]]
) -> None:
    marks = {
        "image": ('"type": "image"', '"type": "image_url"', '"image": {"format"'),
        "file": ('"type": "document"', '"document": {"'),
    }
    seen = 0
    for provider, model, body in accepted:
        said = json.dumps(body.get("messages") or [])
        for modality, signs in marks.items():
            if provider in ("anthropic", "bedrock", "openai", "openrouter") and any(sign in said for sign in signs):
                assert modality in packaged.profile_of(provider, model, TODAY).modalities, (provider, model, modality)
                seen += 1
    assert seen > 5


def test_audio_that_was_refused_is_not_among_the_models_modalities(packaged: ModelCatalogue) -> None:
    refused = {
        (provider, model)
        for provider, model, body, status in exchanges()
        if status == 400 and "input_audio" in json.dumps(body.get("messages") or [])
    }
    assert refused == {("openai", "gpt-5-mini")}
    assert "audio" not in packaged.profile_of("openai", "gpt-5-mini", TODAY).modalities
