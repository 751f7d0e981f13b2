"""What comes back: checked, metered, and handed on as it is."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import Json, JsonError, loads
from pllm.wire.lane import Answer
from pllm.wire.openai_chat.errors import error_in_answer
from pllm.wire.openai_media.endpoints import MediaEndpoint
from pllm.wire.usage import Usage

_ABSURD = 1e15

_MAX_PARSED_BYTES = 256 * 1024
_EDGE_BYTES = 1024


def read_answer(endpoint: MediaEndpoint, body: bytes, content_type: str) -> Answer:
    """The provider's own bytes, after a look that they are an answer. An error object in a 2xx is raised."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/html" or not body:
        raise malformed_upstream("it is a page" if body else "it is empty")
    if (endpoint.audio and kind != "application/json") or (kind.startswith("text/") and endpoint.answer_field == "text"):
        return Answer(body, content_type=content_type or "application/octet-stream")
    if endpoint.mode == "embedding" and (told := _skimmed(body)) is not None:
        return Answer(body, read_usage(told), content_type=content_type or "application/json")
    answer = _object(body, content_type)
    if isinstance(answer, str) and endpoint.answer_field == "text":
        return Answer(body, content_type=content_type)  # response_format=text, as servers that answer in JSON only give it
    if not isinstance(answer, Mapping):
        raise malformed_upstream("it is not a JSON object")
    if answer.get("error"):
        raise error_in_answer(answer)
    if endpoint.audio:
        raise malformed_upstream("it is JSON and not audio")
    found = answer.get(endpoint.answer_field)
    if not isinstance(found, str if endpoint.answer_field == "text" else list):
        raise malformed_upstream(f"{endpoint.answer_field!r} is missing")
    images = len(found) if endpoint.mode == "image" else 0
    return Answer(body, read_usage(answer, images), content_type=content_type or "application/json")


def read_usage(answer: Mapping[str, Any], images: int = 0) -> Usage | None:
    """The neutral usage of an answer or of an event; None where neither tokens, nor seconds, images or searches are told.

    Tokens are spelt prompt/completion (embeddings) or input/output (images, audio). Seconds are those billed, or else the
    length of the recording that verbose_json tells. Searches stand where Cohere has them.
    """
    given = answer.get("usage")
    raw: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    seconds = _number(raw, "seconds") or _number(answer, "duration")
    searches = int(_number(_details(_details(answer, "meta"), "billed_units"), "search_units"))
    if not raw and not images and not seconds and not searches:
        return None
    inside = _details(raw, "input_tokens_details", "input_token_details", "prompt_tokens_details")
    output = int(_number(raw, "output_tokens") or _number(raw, "completion_tokens"))
    total = int(_number(raw, "total_tokens"))  # all that some tell (Voyage)
    prompt = int(_number(raw, "input_tokens") or _number(raw, "prompt_tokens") or max(total - output, 0))
    cached = min(int(_number(inside, "cached_tokens")), prompt)
    return Usage(
        input=prompt - cached,
        cache_read=cached,
        output=output,
        audio_input=int(_number(inside, "audio_tokens")),
        image_input=int(_number(inside, "image_tokens")),
        raw=raw or None,
        images=images,
        audio_seconds=seconds,
        search_units=searches,
    )


def _skimmed(body: bytes) -> Mapping[str, Any] | None:
    """What stands behind the vectors of a large embeddings answer, its usage among it; None where that is not to be seen.
    Parsing a hundred vectors of floats would cost tens of milliseconds, for a number that stands at the end."""
    if len(body) <= _MAX_PARSED_BYTES or not body.startswith(b"{") or b'"data"' not in body[:_EDGE_BYTES]:
        return None
    _, found, behind = body[-_EDGE_BYTES:].rpartition(b'"usage"')
    try:
        told = loads(b"{" + found + behind) if found else None
    except JsonError:
        return None
    return told if isinstance(told, Mapping) else None


def _object(body: bytes, content_type: str) -> Json:
    try:
        return loads(body)
    except JsonError as error:
        raise malformed_upstream(f"it is not JSON ({content_type or 'no content type'}): {error}") from None


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((value for name in names if isinstance(value := raw.get(name), Mapping)), {})


def _number(raw: Mapping[str, Any], name: str) -> float:
    """A count or a duration; verbose_json of older models tells its duration as text."""
    value = raw.get(name)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _ABSURD else 0
