"""Every other field of a request: carried under Anthropic's name, or refused by its own (cases 14 and 23)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.lane import Target
from pllm.wire.neutral import Request

# Values that ask for what Anthropic does anyway.
_SAYS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "seed": (None,),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "verbosity": (None, "medium"),
}

# Anthropic's own fields, which clients of other dialects may send beside theirs.
_OWN = frozenset(
    {
        "cache_control",
        "container",
        "context_management",
        "diagnostics",
        "inference_geo",
        "mcp_servers",
        "speed",
    }
)

# Extras that change nothing about one answer: left out, and said so.
_HINTS = frozenset({"prompt_cache_key", "prompt_cache_retention", "safety_identifier"})
_SILENT_EXTRAS: Mapping[str, tuple[Any, ...]] = {"store": (None, False), "modalities": (None, ["text"])}

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_SPELT = {"stop": "stop_sequences", "reasoning_effort": "thinking", "user": "metadata", "max_completion_tokens": "max_tokens"}
_OUTPUT = "output_config."
_MANDATORY = frozenset({"model", "messages", "max_tokens", "stream"})


def other_fields(request: Request, target: Target, report: Report) -> JsonObject:
    """Stop sequences, user, tier and extras; what has no place raises GatewayError(400), or is dropped and reported."""
    for name, silent in _SAYS_NOTHING.items():
        if getattr(request, name) not in silent:
            report.unsupported(name)
    body: JsonObject = {}
    if request.stop:
        body["stop_sequences"] = _stop(request, target)
    if metadata := _metadata(request, report):
        body["metadata"] = metadata
    if request.service_tier is not None:
        if request.service_tier in _TIERS:
            body["service_tier"] = _TIERS[request.service_tier]
        else:
            report.unsupported("service_tier", f"Anthropic has no tier {request.service_tier!r}.")
    body.update(_extras(request, report))
    return body


def _stop(request: Request, target: Target) -> list[str]:
    for sequence in request.stop:
        if not sequence.strip():
            raise invalid("A stop sequence must hold more than whitespace for this model.", "stop")
    limit = target.profile.max_stop_sequences
    if limit is not None and len(request.stop) > limit:
        raise invalid(f"Model {target.public_name!r} takes at most {limit} stop sequences, not {len(request.stop)}.", "stop")
    return list(request.stop)


def _metadata(request: Request, report: Report) -> JsonObject:
    said: JsonObject = {}
    if request.metadata:
        if request.dialect == "messages":
            said.update(request.metadata)
        else:
            report.unsupported("metadata", "Anthropic stores no metadata but the user.")
    user = request.user or request.extras.get("safety_identifier")
    if user:
        said["user_id"] = user
    return said


def _extras(request: Request, report: Report) -> JsonObject:
    passed: JsonObject = {}
    for name, value in request.extras.items():
        if value is None or value in _SILENT_EXTRAS.get(name, ()) or _is_output_extra(request, name):
            continue
        if name in _OWN or (request.dialect == "messages" and _is_top_level(name)):
            passed[name] = value
        elif name in _HINTS:
            if not (name == "safety_identifier" and not request.user):
                report.dropped(name)
        else:
            report.unsupported(name)
    return passed


def output_extras(request: Request) -> JsonObject:
    """Fields of a Messages client's `output_config` that are newer than this wire."""
    return {n.removeprefix(_OUTPUT): value for n, value in request.extras.items() if _is_output_extra(request, n)}


def _is_output_extra(request: Request, name: str) -> bool:
    return request.dialect == "messages" and name.startswith(_OUTPUT)


def _is_top_level(name: str) -> bool:
    return "." not in name and "[" not in name


def strip_refused(body: JsonObject, target: Target, report: Report) -> None:
    """Takes out what this provider or model is known to answer with an error (the catalogue spells as OpenAI does)."""
    refused = {_SPELT.get(name, name): name for name in target.profile.refused_params}
    refused.update({name: name for name in target.quirks.refused})
    for name in sorted(refused.keys() & body.keys() - _MANDATORY):
        value = body.pop(name)
        if value is not None and not (name in ("temperature", "top_p") and value == 1):
            report.unsupported(refused[name])
