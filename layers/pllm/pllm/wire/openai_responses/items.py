"""Responses input items, read into a conversation.

Items are finer than messages: one assistant turn is a run of reasoning, message and call items. A run becomes one neutral
message, so that thinking stays in front of the calls it led to (case 10). An item's `id`, `status` and `phase` are the
client's bookkeeping and have no meaning elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonError, JsonObject, loads
from pllm.wire.fields import mapping, optional, required, sequence, string
from pllm.wire.neutral import Message, Opaque, Part, Role, Text, ToolCall, ToolResult
from pllm.wire.openai_responses.parts import assistant_parts, result_parts, system_texts, user_parts
from pllm.wire.openai_responses.seal import unseal

_SIGNED_BY = {"google": "gemini"}


@dataclass(frozen=True, slots=True)
class Conversation:
    """`system` holds the leading system and developer items only (case 8)."""

    system: tuple[Text, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """`joins` says which neighbours it melts with: "assistant", "results" or nobody ("")."""

    message: Message
    joins: str = ""


def read_input(value: Json, path: str = "input") -> Conversation:
    """`input`: a string or a list of items. Raises GatewayError(400) naming the item."""
    if isinstance(value, str):
        return Conversation((), (Message("user", (Text(value),), path),))
    turns = [_turn(mapping(item, f"{path}[{n}]"), f"{path}[{n}]") for n, item in enumerate(sequence(value, path))]
    system: list[Text] = []
    while turns and turns[0].message.role == "system":
        system += [part for part in turns.pop(0).message.parts if isinstance(part, Text)]
    return Conversation(tuple(system), _join(turns))


def _join(turns: list[_Turn]) -> tuple[Message, ...]:
    joined: list[_Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last is not None and turn.joins and turn.joins == last.joins:
            parts = (*last.message.parts, *turn.message.parts)
            joined[-1] = _Turn(Message(last.message.role, parts, last.message.path), turn.joins)
        else:
            joined.append(turn)
    return tuple(turn.message for turn in joined)


def _turn(item: JsonObject, path: str) -> _Turn:
    name = item_type(item)
    if name == "":
        raise invalid(f"'{path}.type' is missing, and it is no message either (no 'role').", f"{path}.type")
    return _READERS.get(name, _opaque)(item, path)


def item_type(item: JsonObject) -> str:
    """The item's type; messages and references may leave it out. "" where nothing says what it is."""
    name = item.get("type")
    if isinstance(name, str):
        return name
    if "role" in item:
        return "message"
    return "item_reference" if set(item) - {"type"} == {"id"} else ""


def _message(item: JsonObject, path: str) -> _Turn:
    role = required(item, "role", string, path)
    content, where = item.get("content"), f"{path}.content"
    match role:
        case "user":
            return _Turn(Message("user", user_parts(content, where), path))
        case "assistant":
            return _said(assistant_parts(content, where), path)
        case "system" | "developer":
            return _Turn(Message("system", system_texts(content, where), path))
        case _:
            raise invalid(f"'{path}.role' must be user, assistant, system or developer, not {role!r}.", f"{path}.role")


def _said(parts: tuple[Part, ...], path: str) -> _Turn:
    return _Turn(Message("assistant", parts, path), "assistant")


def _function_call(item: JsonObject, path: str) -> _Turn:
    if item.get("namespace"):
        # The tool was found by OpenAI's own tool search: its bare name means nothing elsewhere.
        return _opaque(item, path)
    origin, signature = _signature(item)
    call = ToolCall(
        id=required(item, "call_id", string, path),
        name=required(item, "name", string, path),
        arguments=_arguments(item.get("arguments"), f"{path}.arguments"),
        signature=signature,
        origin=origin,
    )
    return _said((call,), path)


def _signature(item: JsonObject) -> tuple[str, str | None]:
    """Gemini's thought signature, as our own answers carry it (case 12)."""
    extra = item.get("extra_content")
    for vendor, origin in _SIGNED_BY.items():
        found = extra.get(vendor) if isinstance(extra, dict) else None
        signature = found.get("thought_signature") if isinstance(found, dict) else None
        if isinstance(signature, str) and signature:
            return origin, signature
    return "", None


def _arguments(value: Json, path: str) -> str:
    """JSON text of an object; nothing at all counts as no arguments (case 2)."""
    text = "" if value is None else string(value, path)
    if not text.strip():
        return "{}"
    try:
        found = loads(text)
    except JsonError as error:
        raise invalid(f"'{path}' is not JSON: {error}.", path) from None
    if not isinstance(found, dict):
        raise invalid(f"'{path}' must be the JSON text of an object.", path)
    return text


def _function_call_output(item: JsonObject, path: str) -> _Turn:
    call_id = required(item, "call_id", string, path)
    output = item.get("output")
    content = () if output is None else result_parts(output, f"{path}.output")
    result = ToolResult(call_id, content, name=optional(item, "name", string, path))
    return _Turn(Message("user", (result,), path), "results")


def _reasoning(item: JsonObject, path: str) -> _Turn:
    texts: list[str] = []
    for field in ("content", "summary"):
        pieces = optional(item, field, sequence, path) or []
        texts = [required(mapping(p, f"{path}.{field}[{n}]"), "text", string, path) for n, p in enumerate(pieces)]
        if texts:
            break
    encrypted = optional(item, "encrypted_content", string, path)
    return _said((unseal(encrypted, "\n\n".join(texts), optional(item, "id", string, path)),), path)


def _item_reference(item: JsonObject, path: str) -> _Turn:
    raise invalid(
        f"'{path}' refers to the stored item {item.get('id')!r}, which is not known here. Send the item itself, or set "
        "'previous_response_id' to the stored response it is part of.",
        path,
        "item_not_found",
    )


def _opaque(item: JsonObject, path: str) -> _Turn:
    """Hosted tools' calls and results, compaction items, ...: whole inside this dialect, refused by name elsewhere."""
    name = item_type(item)
    role: Role = "user" if name.endswith(("_output", "_response")) else "assistant"
    return _Turn(Message(role, (Opaque("responses", name, item),), path), "assistant" if role == "assistant" else "")


_READERS: dict[str, Callable[[JsonObject, str], _Turn]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    "reasoning": _reasoning,
    "item_reference": _item_reference,
}
