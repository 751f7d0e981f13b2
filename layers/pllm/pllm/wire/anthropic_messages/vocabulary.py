"""Anthropic's words for the neutral ones, both ways: finish reasons, usage, service tiers, citations, cache marks."""

from collections.abc import Mapping
from typing import Any

from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import CacheMark, Choice, Citation, FinishReason, Refusal, Usage

DIALECT = "messages"
ORIGIN = "anthropic"

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
}

_STOP_REASON: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "refusal": "refusal",
    "content_filter": "refusal",
}


def finish_reason(stop_reason: object) -> FinishReason:
    """The neutral reason. A reason newer than this table ends the answer all the same: it counts as "stop"."""
    return _FINISH.get(str(stop_reason), "stop")


def ending(choice: Choice) -> JsonObject:
    """stop_reason, stop_sequence and, where the model refused in words, stop_details of a finished choice."""
    refused = next((part.text for part in choice.parts if isinstance(part, Refusal)), None)
    return ending_of(choice.finish, choice.stop_sequence, refused)


def ending_of(finish: FinishReason, stop_sequence: str | None, refused: str | None) -> JsonObject:
    """A provider that says "stop" beside a refusal, or beside the sequence it stopped at, is read by what it did."""
    reason = _STOP_REASON[finish]
    if reason == "end_turn":
        reason = "refusal" if refused is not None else "stop_sequence" if stop_sequence else reason
    said: JsonObject = {"stop_reason": reason, "stop_sequence": stop_sequence if reason == "stop_sequence" else None}
    if reason == "refusal":
        said["stop_details"] = {"type": "refusal", "category": None, "explanation": refused}
    return said


def refusal_text(details: object) -> str | None:
    """The model's own words for declining, where `stop_details` holds any."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


# --- Usage (case 15) ----------------------------------------------------------------------------------------------


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Anthropic counts input apart from cache reads and writes, as the neutral form does.

    The top level leaves out what a compaction of the history cost, so its iterations are added; other iterations are
    contained, or belong to another model.
    """
    input_tokens, read, write_5m, write_1h = _input_side(raw)
    output = _count(raw, "output_tokens")
    for iteration in raw.get("iterations") or ():
        if isinstance(iteration, dict) and iteration.get("type") == "compaction":
            extra = _input_side(iteration)
            input_tokens, read = input_tokens + extra[0], read + extra[1]
            write_5m, write_1h = write_5m + extra[2], write_1h + extra[3]
            output += _count(iteration, "output_tokens")
    details = raw.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    return Usage(input_tokens, read, write_5m, write_1h, output, reasoning, raw=dict(raw))


def _input_side(raw: Mapping[str, Any]) -> tuple[int, int, int, int]:
    written = _count(raw, "cache_creation_input_tokens")
    split = raw.get("cache_creation")
    write_1h = _count(split, "ephemeral_1h_input_tokens") if isinstance(split, dict) else 0
    write_5m = _count(split, "ephemeral_5m_input_tokens") if isinstance(split, dict) else 0
    # The total is cumulative in streams, the split is said once: what exceeds the split was written for five minutes.
    write_5m = max(write_5m, written - write_1h)
    return _count(raw, "input_tokens"), _count(raw, "cache_read_input_tokens"), write_5m, write_1h


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def usage_fields(usage: Usage) -> JsonObject:
    """The counts that both `message.usage` and a stream's `message_delta.usage` hold. All are cumulative."""
    fields: JsonObject = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return fields


def cache_split(usage: Usage) -> JsonObject:
    return {
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    }


_TIER = {"standard": "default", "priority": "priority", "batch": "batch"}


def read_tier(raw: Mapping[str, Any]) -> str | None:
    """`usage.service_tier` in OpenAI's words, which are the neutral ones."""
    tier = raw.get("service_tier")
    return _TIER.get(tier, tier) if isinstance(tier, str) else None


def tier_field(tier: str | None) -> JsonObject:
    said = next((name for name, neutral in _TIER.items() if neutral == tier), None)
    return {"service_tier": said} if said else {}


# --- Small values -------------------------------------------------------------------------------------------------


def read_citation(raw: Mapping[str, Any]) -> Citation:
    title = raw.get("title") or raw.get("document_title")
    quote, url = raw.get("cited_text"), raw.get("url")
    return Citation(
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        quote=quote if isinstance(quote, str) else None,
        origin=ORIGIN,
        raw=dict(raw),
    )


def write_citation(citation: Citation) -> JsonObject:
    """Anthropic's own object as it was; anyone else's as the nearest of its kinds."""
    if citation.origin == ORIGIN and citation.raw is not None:
        return dict(citation.raw)
    if citation.url is not None:
        return {
            "type": "web_search_result_location",
            "url": citation.url,
            "title": citation.title,
            "cited_text": citation.quote or "",
            "encrypted_index": "",
        }
    return {
        "type": "char_location",
        "cited_text": citation.quote or "",
        "document_index": 0,
        "document_title": citation.title,
        "start_char_index": citation.start or 0,
        "end_char_index": citation.end or 0,
        "file_id": None,
    }


def cache_field(mark: CacheMark | None) -> JsonObject:
    if mark is None:
        return {}
    return {"cache_control": {"type": "ephemeral"} if mark.ttl == "5m" else {"type": "ephemeral", "ttl": mark.ttl}}
