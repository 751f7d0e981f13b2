"""Converse's words for the neutral ones: stop reasons, usage, citations, reasoning proofs, identifiers."""

import base64
import binascii
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pllm.core.errors import GatewayError, malformed_upstream
from pllm.core.jsontext import JsonObject
from pllm.wire.neutral import Citation, FinishReason, Usage

DIALECT = "converse"

ANTHROPIC = "anthropic"
"""The origin of signed and of redacted reasoning: on Converse only Claude proves its thoughts, with Anthropic's own
signatures, which Anthropic's API takes as well."""

ADDITIONAL_FIELDS = "additionalModelResponseFields"

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


def finish_reason(stop_reason: object, *, called: bool) -> FinishReason:
    """The neutral reason. `called`: the client has tool calls to answer.

    A reason newer than this table ends the answer all the same and counts as "stop". Raises UPSTREAM_PROTOCOL where the
    model's output was unusable by Bedrock's own account.
    """
    if stop_reason in _MALFORMED:
        raise malformed_upstream(f"the model stopped with {stop_reason!r}")
    reason = _FINISH.get(str(stop_reason), "stop")
    if reason in ("stop", "tool_calls"):
        return "tool_calls" if called else "stop"
    return reason


def matched_stop_sequence(fields: object) -> str | None:
    """The stop sequence that ended the answer, from the additional response fields that `encode` asks for."""
    if not isinstance(fields, dict):
        return None
    delta = fields.get("delta")
    found = delta.get("stop_sequence") if isinstance(delta, dict) else fields.get("stop_sequence")
    return found if isinstance(found, str) else None


def read_usage(raw: object) -> Usage | None:
    """Bedrock counts input apart from cache reads and writes, as the neutral form does (case 15)."""
    if not isinstance(raw, dict):
        return None
    written = _count(raw, "cacheWriteInputTokens")
    write_1h = sum(
        _count(detail, "inputTokens")
        for detail in listed(raw.get("cacheDetails"))
        if isinstance(detail, dict) and detail.get("ttl") == "1h"
    )
    return Usage(
        input=_count(raw, "inputTokens"),
        cache_read=_count(raw, "cacheReadInputTokens"),
        cache_write_5m=max(written - write_1h, 0),
        cache_write_1h=write_1h,
        output=_count(raw, "outputTokens"),
        raw=raw,
    )


def _count(raw: JsonObject, name: str) -> int:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def read_citation(raw: JsonObject) -> Citation:
    """`start` and `end` stay unset: Bedrock's positions are in the source, and live on in `raw`."""
    location = raw.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    quotes = [str(piece.get("text") or "") for piece in listed(raw.get("sourceContent")) if isinstance(piece, dict)]
    return Citation(
        url=_text_or_none(web.get("url")) if isinstance(web, dict) else None,
        title=_text_or_none(raw.get("title")),
        quote="".join(quotes) or None,
        origin=DIALECT,
        raw=raw,
    )


def listed(value: object) -> list[Any]:
    """`value` when it is a list, else nothing: providers are read leniently where nothing hangs on it."""
    return value if isinstance(value, list) else []


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


# --- Redacted reasoning ---------------------------------------------------------------------------------------------


def read_redacted(blob: str) -> tuple[str, str]:
    """(redacted, origin) of a `redactedContent` blob. Claude's blob is the text that Anthropic's API calls `data`."""
    try:
        data = base64.b64decode(blob, validate=True)
        text = data.decode("ascii")
    except (binascii.Error, ValueError):
        return blob, DIALECT
    return (text, ANTHROPIC) if text else (blob, DIALECT)


def write_redacted(redacted: str, origin: str) -> str:
    return blob if (blob := redacted) and origin == DIALECT else base64.b64encode(redacted.encode()).decode("ascii")


# --- Identifiers ----------------------------------------------------------------------------------------------------

_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def tool_use_id(call_id: str) -> str:
    """`call_id`, or a stand-in where another provider's id is too long or has characters that Bedrock refuses.

    The same id gets the same stand-in, so that calls and results still find each other and prompt caches still match.
    """
    if _TOOL_USE_ID.fullmatch(call_id):
        return call_id
    return f"tooluse_{sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def expect(value: Any, kind: type, what: str) -> Any:
    """`value` when it is a `kind`; else the error of a provider that does not speak its own dialect."""
    if not isinstance(value, kind):
        raise malformed(what, value)
    return value


def malformed(what: str, value: object) -> GatewayError:
    return malformed_upstream(f"{what} is {type(value).__name__}, which Converse never sends")
