"""Request fields beyond the conversation: Bedrock's own, passed on under either spelling, and those that are refused.

A client writes Bedrock's fields beside OpenAI's (the SDK's `extra_body` puts them there) in Converse's spelling or in snake
case; a deployment's defaults may hold them too.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.lane import Target
from pllm.wire.neutral import Request

_SHAPES: Mapping[str, type] = {
    "guardrailConfig": dict,
    "performanceConfig": dict,
    "additionalModelRequestFields": dict,
    "additionalModelResponseFieldPaths": list,
    "requestMetadata": dict,
    "promptVariables": dict,
    "serviceTier": dict,
}
_FIELD_NAMES = frozenset({"guardrailConfig", "performanceConfig"})
"""Objects whose own members are fields; the members of the others are the caller's data."""

# Anthropic's own request fields, which Claude on Bedrock takes under the same names.
_CLAUDE_FIELDS = ("context_management", "anthropic_beta")

# What a field says when it says nothing.
_INERT: Mapping[str, tuple[object, ...]] = {"store": (False,), "background": (False,), "truncation": ("disabled",)}

_SERVICE_TIERS: Mapping[str, str | None] = {
    "auto": None,
    "default": "default",
    "standard": "default",
    "flex": "flex",
    "priority": "priority",
    "reserved": "reserved",
}
_METADATA_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_METADATA_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_METADATA = 16


def bedrock_fields(request: Request, ledger: Ledger) -> JsonObject:
    """Converse's top-level fields from the request's extras, service tier, user and metadata, in Converse's spelling.

    Raises GatewayError(400) naming a field that Bedrock has no word for or that has the wrong shape.
    """
    found: JsonObject = {}
    claude: JsonObject = {}
    for name, value in _flattened(request.extras).items():
        known = _camel(name)
        if value is None or value in _INERT.get(name, ()):
            continue
        if known in _SHAPES:
            shaped = _shaped(known, name, value)
            found[known] = _camel_members(shaped) if known in _FIELD_NAMES else shaped
        elif name in _CLAUDE_FIELDS and request.dialect == "messages":
            claude[name] = value
        else:
            ledger.refuse(name)
    if claude:
        found["additionalModelRequestFields"] = {**claude, **found.get("additionalModelRequestFields", {})}
    if not request.stream:
        _without_stream_settings(found)
    _report_what_stays_behind(found, ledger)
    _service_tier(request, found, ledger)
    _metadata(request, found, ledger)
    return found


def refuse_unsupported(request: Request, ledger: Ledger) -> None:
    """OpenAI's parameters that Converse has no word for (case 23). Values that say nothing are passed over."""
    asked = {
        "n": request.n != 1,
        "seed": request.seed is not None,
        "logprobs": bool(request.logprobs),
        "top_logprobs": bool(request.top_logprobs),
        "logit_bias": bool(request.logit_bias),
        "presence_penalty": bool(request.presence_penalty),
        "frequency_penalty": bool(request.frequency_penalty),
        "verbosity": request.verbosity not in (None, "medium"),
    }
    for name, is_asked in asked.items():
        if is_asked:
            ledger.refuse(name)


# A field of the neutral request, and the names under which a profile may say that a model refuses it.
_REFUSABLE: Mapping[str, frozenset[str]] = {
    "temperature": frozenset({"temperature"}),
    "top_p": frozenset({"top_p"}),
    "top_k": frozenset({"top_k"}),
    "stop": frozenset({"stop", "stop_sequences"}),
    "max_tokens": frozenset({"max_tokens", "max_completion_tokens"}),
    "reasoning": frozenset({"reasoning_effort", "reasoning", "thinking"}),
    "response_format": frozenset({"response_format"}),
    "tool_choice": frozenset({"tool_choice"}),
    "parallel_tool_calls": frozenset({"parallel_tool_calls"}),
}


def without_refused(request: Request, target: Target, ledger: Ledger) -> Request:
    """The request less what its model is known to refuse; each such field is a 400 or, by configuration, dropped."""
    refused = target.profile.refused_params | target.quirks.refused
    silenced: dict[str, Any] = {}
    for name, spellings in _REFUSABLE.items():
        value = getattr(request, name)
        if refused & spellings and value is not None and value != ():
            ledger.refuse(name)
            silenced[name] = () if name == "stop" else None
    return replace(request, **silenced)


def _flattened(extras: Mapping[str, Any]) -> dict[str, Any]:
    """`extra_body` is meant to be unpacked by the SDK; clients without one send it as it stands."""
    inner: Any = extras.get("extra_body")
    if not isinstance(inner, dict):
        return dict(extras)
    return {**inner, **{name: value for name, value in extras.items() if name != "extra_body"}}


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


def _shaped(known: str, name: str, value: Any) -> Any:
    if not isinstance(value, _SHAPES[known]):
        wanted = "an object" if _SHAPES[known] is dict else "a list"
        raise invalid(f"'{name}' must be {wanted}, not {type(value).__name__}.", name)
    return value


def _camel_members(value: Mapping[str, Any]) -> JsonObject:
    return {_camel(key): inner for key, inner in value.items()}


def _without_stream_settings(found: JsonObject) -> None:
    guardrail = found.get("guardrailConfig")
    if guardrail is not None:
        found["guardrailConfig"] = {key: value for key, value in guardrail.items() if key != "streamProcessingMode"}


def _report_what_stays_behind(found: JsonObject, ledger: Ledger) -> None:
    """No client dialect has a place for what these ask for in the answer."""
    if "additionalModelResponseFieldPaths" in found:
        ledger.drop("additionalModelResponseFields")
    if found.get("guardrailConfig", {}).get("trace", "disabled") != "disabled":
        ledger.drop("guardrailConfig.trace")


def _service_tier(request: Request, found: JsonObject, ledger: Ledger) -> None:
    tier = request.service_tier
    if tier is None or "serviceTier" in found:
        return
    if tier not in _SERVICE_TIERS:
        ledger.refuse("service_tier", f"Bedrock has no tier {tier!r}")
    elif (name := _SERVICE_TIERS[tier]) is not None:
        found["serviceTier"] = {"type": name}


def _metadata(request: Request, found: JsonObject, ledger: Ledger) -> None:
    """metadata and user become requestMetadata, by which invocation logs are searched. They never change an answer, so an
    entry that Bedrock would refuse is dropped and reported."""
    given = {**({"user": request.user} if request.user else {}), **(request.metadata or {})}
    if not given:
        return
    kept = dict(found.get("requestMetadata", {}))
    for key, value in given.items():
        fits = isinstance(value, str) and _METADATA_KEY.fullmatch(key) and _METADATA_VALUE.fullmatch(value)
        if fits and (key in kept or len(kept) < _MAX_METADATA):
            kept.setdefault(key, value)
        else:
            ledger.drop("user" if key == "user" and key not in (request.metadata or {}) else f"metadata.{key}")
    if kept:
        found["requestMetadata"] = kept
