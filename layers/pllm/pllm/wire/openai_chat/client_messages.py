"""Chat's messages as a neutral conversation.

Beyond OpenAI's fields an assistant message may bring its thinking back, as our answers give it: `reasoning_content` is the
text; `thinking_blocks` are the blocks that carry a proof, `{"type": "thinking", "thinking", "signature"}` or
`{"type": "redacted_thinking", "data"}`, each with its `origin` ("anthropic" where there is none). `provider_blocks`
brings back blocks of another dialect. A tool message may say `is_error: true`.
"""

from dataclasses import replace

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonError, JsonObject, loads
from pllm.wire.fields import boolean, mapping, optional, required, sequence, string
from pllm.wire.neutral import (
    CacheMark,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from pllm.wire.openai_chat.client_parts import cache_mark, read_content, read_texts

_SYSTEM = ("system", "developer")


class Conversation:
    """Reads messages in order; `system` holds the leading system and developer content, the rest is in `messages`."""

    def __init__(self) -> None:
        self.system: tuple[Text, ...] = ()
        self.messages: list[Message] = []
        self._legacy_calls: dict[str, str] = {}

    def read(self, messages: Json) -> "Conversation":
        listed = sequence(messages, "messages")
        if not listed:
            raise invalid("'messages' must hold at least one message.", "messages")
        for number, entry in enumerate(listed):
            path = f"messages[{number}]"
            self._message(mapping(entry, path), path)
        return self

    def _message(self, message: JsonObject, path: str) -> None:
        role = required(message, "role", string, path)
        name = optional(message, "name", string, path)
        if role in _SYSTEM:
            self._system(message, path, name)
            return
        match role:
            case "user":
                parts = read_content(message.get("content"), f"{path}.content")
                if not parts:
                    raise invalid(f"'{path}.content' is required.", f"{path}.content")
                written = Message("user", parts, path, name)
            case "assistant":
                written = Message("assistant", self._assistant(message, path), path, name)
            case "tool":
                call_id = required(message, "tool_call_id", string, path)
                written = Message("user", (_result(message, call_id, None, path),), path)
            case "function":
                called = required(message, "name", string, path)
                call_id = self._legacy_calls.get(called, f"call_{called}")
                written = Message("user", (_result(message, call_id, called, path),), path)
            case _:
                known = "system, developer, user, assistant or tool"
                raise invalid(f"'{path}.role' must be {known}, not {role!r}.", f"{path}.role")
        self.messages.append(_marked(written, cache_mark(message, path)))

    def _system(self, message: JsonObject, path: str, name: str | None) -> None:
        """Leading ones are hoisted, a later one keeps its place (case 8). One with a name cannot be hoisted without it."""
        texts = read_texts(message.get("content"), f"{path}.content")
        written = _marked(Message("system", texts, path, name), cache_mark(message, path))
        if self.messages or name:
            self.messages.append(written)
        else:
            self.system += tuple(part for part in written.parts if isinstance(part, Text))

    def _assistant(self, message: JsonObject, path: str) -> tuple[Part, ...]:
        content = read_content(message.get("content"), f"{path}.content")
        refusal = optional(message, "refusal", string, path)
        calls = [
            _call(mapping(entry, f"{path}.tool_calls[{i}]"), f"{path}.tool_calls[{i}]")
            for i, entry in enumerate(optional(message, "tool_calls", sequence, path) or ())
        ]
        if (legacy := optional(message, "function_call", mapping, path)) is not None:
            calls.append(self._legacy_call(legacy, path))
        audio = optional(message, "audio", mapping, path)
        return (
            *_thinking(message, path),
            *_provider_blocks(message, path),
            *(part for part in content if not (isinstance(part, Text) and not part.text)),
            *([Refusal(refusal)] if refusal else ()),
            *([Opaque("chat", "audio", audio)] if audio else ()),
            *calls,
        )

    def _legacy_call(self, call: JsonObject, path: str) -> ToolCall:
        name = required(call, "name", string, f"{path}.function_call")
        call_id = f"call_{name}_{len(self._legacy_calls)}"
        self._legacy_calls[name] = call_id
        return ToolCall(call_id, name, read_arguments(call.get("arguments"), f"{path}.function_call.arguments"))


def read_arguments(value: Json, path: str) -> str:
    """JSON text of an object; "" and null are the empty object, anything else is a 400 naming the message (case 2)."""
    if value is None or value == "":
        return "{}"
    text = string(value, path)
    if not text.strip():
        return "{}"
    try:
        parsed = loads(text)
    except JsonError as error:
        raise invalid(f"'{path}' is not valid JSON: {error}.", path) from None
    if not isinstance(parsed, dict):
        raise invalid(f"'{path}' must be the JSON text of an object.", path)
    return text


def _call(entry: JsonObject, path: str) -> ToolCall | Opaque:
    if entry.get("type", "function") == "custom":
        return Opaque("chat", "custom_tool_call", entry)
    function = required(entry, "function", mapping, path)
    arguments = read_arguments(function.get("arguments"), f"{path}.function.arguments")
    signature = _signature(entry)
    return ToolCall(
        required(entry, "id", string, path),
        required(function, "name", string, f"{path}.function"),
        arguments,
        signature,
        "gemini" if signature else "",
        cache_mark(entry, path),
    )


def _signature(entry: JsonObject) -> str | None:
    """Gemini's thought signature, where our answers and Google's own compatible endpoint put it (case 12)."""
    match entry.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return None


def _result(message: JsonObject, call_id: str, name: str | None, path: str) -> ToolResult:
    parts = read_content(message.get("content"), f"{path}.content")
    content: list[Text | Image | Document] = []
    for number, part in enumerate(parts):
        if not isinstance(part, Text | Image | Document):
            where = f"{path}.content[{number}]"
            raise invalid(f"'{where}' must be text, an image or a file: that is what a tool result can hold.", where)
        content.append(part)
    is_error = optional(message, "is_error", boolean, path) or False
    return ToolResult(call_id, tuple(content), is_error, name)


def _thinking(message: JsonObject, path: str) -> list[Thinking]:
    """What the assistant thought: the blocks with their proofs, or else the bare text, which proves nothing (case 10)."""
    blocks = optional(message, "thinking_blocks", sequence, path) or []
    if blocks:
        return [
            _thinking_block(mapping(b, f"{path}.thinking_blocks[{i}]"), f"{path}.thinking_blocks[{i}]")
            for i, b in enumerate(blocks)
        ]
    text = message.get("reasoning_content") or message.get("reasoning")
    return [Thinking(text)] if isinstance(text, str) and text else []


def _thinking_block(block: JsonObject, path: str) -> Thinking:
    origin = optional(block, "origin", string, path) or "anthropic"
    item = optional(block, "id", string, path)
    text = optional(block, "thinking", string, path) or ""
    match block.get("type"):
        case "thinking":
            return Thinking(text, optional(block, "signature", string, path), None, origin, item)
        case "redacted_thinking":
            return Thinking(text, None, required(block, "data", string, path), origin, item)
        case _:
            raise invalid(f"'{path}.type' must be 'thinking' or 'redacted_thinking'.", f"{path}.type")


def _provider_blocks(message: JsonObject, path: str) -> list[Opaque]:
    blocks = []
    for number, entry in enumerate(optional(message, "provider_blocks", sequence, path) or ()):
        where = f"{path}.provider_blocks[{number}]"
        told = mapping(entry, where)
        raw = required(told, "block", mapping, where)
        blocks.append(Opaque(required(told, "dialect", string, where), required(told, "type", string, where), raw))
    return blocks


def _marked(message: Message, mark: CacheMark | None) -> Message:
    """A mark on a whole message stands on its last part that can carry one."""
    if mark is None or not message.parts:
        return message
    last = message.parts[-1]
    if isinstance(last, Text | Image | Document | ToolCall | ToolResult):
        return replace(message, parts=(*message.parts[:-1], replace(last, cache=mark)))
    return message
