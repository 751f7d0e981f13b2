"""The named edits on a Responses request that stays in its dialect: everything else goes upstream as the client wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import invalid, unsupported
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import boolean, optional, required, string
from pllm.wire.lane import Target
from pllm.wire.openai_responses.history import RESOLVED
from pllm.wire.openai_responses.items import item_type
from pllm.wire.openai_responses.request import refuse_background
from pllm.wire.openai_responses.seal import is_ours

# Settings are named in Chat's spelling in the configuration and in profiles. Where one lives here, as a path.
_CAP = ("max_output_tokens",)
_PATHS: Mapping[str, tuple[str, ...]] = {
    "max_tokens": _CAP,
    "max_completion_tokens": _CAP,
    "max_output_tokens": _CAP,
    "reasoning_effort": ("reasoning", "effort"),
    "verbosity": ("text", "verbosity"),
    "response_format": ("text", "format"),
    **{
        name: (name,)
        for name in (
            "temperature",
            "top_p",
            "top_logprobs",
            "parallel_tool_calls",
            "tool_choice",
            "tools",
            "user",
            "metadata",
            "service_tier",
            "store",
            "truncation",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
        )
    },
}

# Values that say nothing: without the field the same happens, so they are left out without a report.
_SAYS_NOTHING: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "top_logprobs": 0,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "metadata": {},
    "service_tier": "auto",
    "truncation": "disabled",
    "reasoning_effort": "none",
    "response_format": {"type": "text"},
}


@dataclass(frozen=True, slots=True)
class Edited:
    body: JsonObject
    stream: bool
    dropped: tuple[str, ...] = ()


def edit(body: JsonObject, target: Target) -> Edited:
    """Raises a 400 naming the field, for what the gateway itself relies on or this provider or model refuses."""
    required(body, "model", string)
    refuse_background(body)
    stream = optional(body, "stream", boolean) or False
    edited = {name: value for name, value in body.items() if name != RESOLVED}
    dropped = [*_apply_defaults(edited, target), *_drop_refused(edited, body, target)]
    edited["input"] = _own_input(body.get("input"))
    if edited["input"] is None:
        del edited["input"]
    if target.quirks.model_in_body:
        edited["model"] = target.model
    else:
        del edited["model"]
    edited.update(target.quirks.body)
    return Edited(edited, stream, tuple(dropped))


def _apply_defaults(edited: JsonObject, target: Target) -> list[str]:
    """Sets what the client left open. A default that this dialect has no field for, or says in another shape, is dropped
    and reported."""
    dropped: list[str] = []
    for name, value in target.defaults.items():
        path = _PATHS.get(name)
        if path is None or name == "response_format":
            dropped.append(name)
        elif _get(edited, path) is None:
            inner = {path[1]: value} if len(path) == 2 else value
            outer = edited.get(path[0])
            edited[path[0]] = {**outer, **inner} if isinstance(outer, dict) and isinstance(inner, dict) else inner
    return dropped


def _drop_refused(edited: JsonObject, body: JsonObject, target: Target) -> list[str]:
    dropped: list[str] = []
    for name in sorted(_refused(target)):
        path = _PATHS.get(name)
        value = None if path is None else _get(edited, path)
        if path is None or value is None:
            continue
        _remove(edited, path)
        if name in _SAYS_NOTHING and value == _SAYS_NOTHING[name]:
            continue
        shown = ".".join(path)
        if _get(body, path) is not None and not target.drop_unsupported:
            raise unsupported(shown, target.public_name)
        dropped.append(shown)
    return dropped


def _refused(target: Target) -> frozenset[str]:
    refused = target.quirks.refused | target.profile.refused_params
    if not target.profile.supports_tools:
        refused |= {"tools", "tool_choice", "parallel_tool_calls"}
    if target.profile.thinking == "none":
        refused |= {"reasoning_effort"}
    if "max_completion_tokens" not in refused or "max_tokens" not in refused:
        # They are two spellings of the one cap here: refusing one of them in Chat says nothing about this dialect.
        refused -= {"max_completion_tokens", "max_tokens"}
    return refused


def _get(body: JsonObject, path: tuple[str, ...]) -> Any:
    value: Any = body
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _remove(body: JsonObject, path: tuple[str, ...]) -> None:
    """Takes a field out of the body; an object that held nothing else goes with it. Never changes the client's objects."""
    outer = body.pop(path[0])
    if len(path) == 2 and (rest := {key: value for key, value in outer.items() if key != path[1]}):
        body[path[0]] = rest


def _own_input(value: Json) -> Json:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise invalid("'input' must be a string or a list of items.", "input")
    return [_own_form(item) for item in value if not _is_foreign(item)]


def _is_foreign(item: Json) -> bool:
    """Reasoning that another provider made and OpenAI never saw: it would be refused (case 10)."""
    return isinstance(item, dict) and item_type(item) == "reasoning" and is_ours(item.get("id"), item.get("encrypted_content"))


def _own_form(item: Json) -> Json:
    """A call item without another provider's signature, which only our own answers carry."""
    if isinstance(item, dict) and "extra_content" in item:
        return {key: value for key, value in item.items() if key != "extra_content"}
    return item
