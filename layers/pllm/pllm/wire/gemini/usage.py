"""usageMetadata as neutral usage (translation case 15)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.jsontext import Json, JsonObject
from pllm.wire.usage import Usage

_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}
_TRAFFIC = {"ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority", "PROVISIONED_THROUGHPUT": "scale"}


def usage(metadata: Mapping[str, Any]) -> Usage | None:
    """Gemini counts cached tokens into the prompt, and thoughts and tool results beside prompt and candidates. None while it
    has not counted anything yet, as in the first chunks of Vertex."""
    if "promptTokenCount" not in metadata and "totalTokenCount" not in metadata:
        return None
    cached = _count(metadata, "cachedContentTokenCount")
    thoughts = _count(metadata, "thoughtsTokenCount")
    by_cache = _modalities(metadata.get("cacheTokensDetails"))
    by_prompt = _modalities(metadata.get("promptTokensDetails"))
    by_answer = _modalities(metadata.get("candidatesTokensDetails"))
    return Usage(
        input=max(_count(metadata, "promptTokenCount") - cached, 0) + _count(metadata, "toolUsePromptTokenCount"),
        cache_read=cached,
        output=_count(metadata, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
        audio_input=max(by_prompt.get("AUDIO", 0) - by_cache.get("AUDIO", 0), 0),
        audio_output=by_answer.get("AUDIO", 0),
        image_input=max(by_prompt.get("IMAGE", 0) - by_cache.get("IMAGE", 0), 0),
        raw=metadata,
    )


def service_tier(metadata: Mapping[str, Any]) -> str | None:
    """The tier that served the request, in OpenAI's words."""
    return _TIERS.get(str(metadata.get("serviceTier")).lower()) or _TRAFFIC.get(str(metadata.get("trafficType")))


def _count(metadata: Mapping[str, Any], name: str) -> int:
    value = metadata.get(name)
    return value if isinstance(value, int) else 0


def _modalities(details: Json) -> dict[str, int]:
    counts: dict[str, int] = {}
    entries: list[JsonObject] = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    for entry in entries:
        modality = str(entry.get("modality"))
        counts[modality] = counts.get(modality, 0) + _count(entry, "tokenCount")
    return counts
