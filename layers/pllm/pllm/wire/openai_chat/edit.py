"""The named edits on a Chat request that stays in its dialect: everything else goes upstream as the client wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import invalid, unsupported
from pllm.core.jsontext import JsonObject
from pllm.wire.lane import Target

TOOL_FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})

# Values that say nothing: a provider without the field behaves the same, so they are left out without a report.
_SAYS_NOTHING: Mapping[str, Any] = {
    "n": 1,
    "logprobs": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "temperature": 1,
    "top_p": 1,
    "reasoning_effort": "none",
    "service_tier": "auto",
    "store": False,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
}

_CAPS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Edited:
    """The body to send, and what its sender should know. `usage_asked`: the client wants the usage chunk (case 16).
    `usage_forced`: we asked the provider for it on top."""

    body: JsonObject
    stream: bool
    usage_asked: bool
    usage_forced: bool
    dropped: tuple[str, ...] = ()


def check(body: JsonObject) -> None:
    """Raises a 400 naming the field, for what the gateway itself relies on. The rest is the provider's to judge."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise invalid("'model' must be a non-empty string.", "model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a non-empty list of messages.", "messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise invalid(f"'messages[{number}]' must be an object with 'role' and 'content'.", f"messages[{number}]")
        if not isinstance(message.get("role"), str):
            raise invalid(f"'messages[{number}].role' must be a string such as 'user'.", f"messages[{number}].role")
    _check_flag(body.get("stream"), "stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise invalid("'stream_options' must be an object such as {\"include_usage\": true}.", "stream_options")
    _check_flag((options or {}).get("include_usage"), "stream_options.include_usage")
    for name in ("n", *_CAPS):
        _check_count(body.get(name), name)
    if body.get("tools") is not None and not isinstance(body["tools"], list):
        raise invalid("'tools' must be a list of tools.", "tools")


def edit(body: JsonObject, target: Target) -> Edited:
    """Raises a 400 naming parameter and model for a field that this provider or model refuses, unless it may be dropped."""
    edited, dropped = dict(body), []
    asked_fields = {name for name, value in body.items() if value is not None}
    _apply_defaults(edited, target)
    refused = refused_fields(target)
    _spell_cap(edited, target, refused)
    for name in sorted(refused & edited.keys()):
        value = edited.pop(name)
        if value is None or (name in _SAYS_NOTHING and value == _SAYS_NOTHING[name]):
            continue
        if name in asked_fields and not target.drop_unsupported:
            raise unsupported(name, target.public_name)
        dropped.append(name)
    stream = edited.get("stream") is True
    asked, forced = _ask_for_usage(edited, target) if stream else (False, False)
    if target.quirks.model_in_body:
        edited["model"] = target.model
    else:
        del edited["model"]
    edited.update(target.quirks.body)
    return Edited(edited, stream, asked, forced, tuple(dropped))


def needs_translation(body: JsonObject, target: Target) -> bool:
    """Whether only the translated lane can serve this: a schema that the model must be made to follow by a hidden tool."""
    wanted = body.get("response_format")
    emulated = target.profile.structured_output == "tool"
    return emulated and isinstance(wanted, dict) and wanted.get("type") == "json_schema"


def refused_fields(target: Target) -> frozenset[str]:
    """Request fields that this provider or this model is known to answer with an error."""
    profile = target.profile
    refused = target.quirks.refused | profile.refused_params
    if not profile.supports_tools:
        refused |= TOOL_FIELDS
    if profile.thinking == "none":
        refused |= {"reasoning_effort"}
    return refused


def _apply_defaults(edited: JsonObject, target: Target) -> None:
    for name, value in target.defaults.items():
        silent = all(edited.get(cap) is None for cap in _CAPS) if name in _CAPS else edited.get(name) is None
        if silent:
            edited[name] = value


def _spell_cap(edited: JsonObject, target: Target, refused: frozenset[str]) -> None:
    """One output cap, under the name this provider and model know (case 24)."""
    old, new = edited.get("max_tokens"), edited.get("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise invalid("'max_tokens' and 'max_completion_tokens' contradict each other; set one.", "max_completion_tokens")
    spelling = target.quirks.token_cap
    if len(known := [cap for cap in _CAPS if cap not in refused]) == 1:
        spelling = known[0]
    if not spelling or (old is None and new is None):
        return
    for cap in _CAPS:
        edited.pop(cap, None)
    edited[spelling] = old if new is None else new


def _ask_for_usage(edited: JsonObject, target: Target) -> tuple[bool, bool]:
    """Whether the client asked for usage, and whether we asked on top. A provider that takes no such question sends
    usage by itself or not at all."""
    options = dict(edited.get("stream_options") or {})
    asked = options.get("include_usage") is True
    if target.quirks.stream_usage:
        edited["stream_options"] = {**options, "include_usage": True}
        return asked, not asked
    options.pop("include_usage", None)
    edited.pop("stream_options", None)
    if options:
        edited["stream_options"] = options
    return asked, False


def _check_flag(value: object, name: str) -> None:
    if value is not None and not isinstance(value, bool):
        raise invalid(f"'{name}' must be true or false.", name)


def _check_count(value: object, name: str) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise invalid(f"'{name}' must be a whole number of at least 1.", name)
