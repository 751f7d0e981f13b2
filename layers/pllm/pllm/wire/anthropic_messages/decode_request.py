"""A Messages request from a client, to the neutral form."""

from collections.abc import Mapping
from typing import Any, Literal

from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages import fields
from pllm.wire.anthropic_messages.decode_blocks import BlockReader, cache_mark
from pllm.wire.anthropic_messages.vocabulary import DIALECT
from pllm.wire.neutral import Message, Reasoning, Request, ResponseFormat, Role, Text, Tool, ToolChoice

_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}

_MODES: Mapping[str, Literal["auto", "none", "required", "named"]] = {
    "auto": "auto",
    "any": "required",
    "none": "none",
    "tool": "named",
}

_KNOWN = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "stream",
        "context_management",
    }
)

# How a tool's input is delivered, not what it is: no answer differs for it.
_DELIVERY_HINTS = ("eager_input_streaming",)


def decode_request(body: JsonObject, *, counting: bool = False) -> Request:
    """Raises GatewayError(400) with the dotted path of what is wrong. `counting`: a count_tokens request, which needs no
    max_tokens."""
    reader = BlockReader()
    system, messages = _conversation(body, reader)
    extras = {name: value for name, value in body.items() if name not in _KNOWN and value is not None}
    reasoning = _reasoning(body, extras)
    response_format = _response_format(body, extras)
    _context_management(body.get("context_management"), extras)
    tools = _tools(body.get("tools"), reader)
    choice, parallel = _tool_choice(body.get("tool_choice"))
    user, metadata = _metadata(body.get("metadata"))
    stop = fields.sequence(body.get("stop_sequences") or [], "stop_sequences")
    return Request(
        model=fields.named(body.get("model"), "model"),
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=None if counting else fields.whole(body.get("max_tokens"), "max_tokens", 1),
        temperature=fields.number(body.get("temperature"), "temperature"),
        top_p=fields.number(body.get("top_p"), "top_p"),
        top_k=None if body.get("top_k") is None else fields.whole(body["top_k"], "top_k", 0),
        stop=tuple(fields.string(item, f"stop_sequences[{number}]") for number, item in enumerate(stop)),
        reasoning=reasoning,
        response_format=response_format,
        service_tier=_service_tier(body.get("service_tier")),
        user=user,
        metadata=metadata,
        stream=fields.flag(body.get("stream"), "stream") is True,
        include_usage=True,
        dialect="messages",
        extras={**extras, **reader.extras},
    )


def _conversation(body: JsonObject, reader: BlockReader) -> tuple[tuple[Text, ...], tuple[Message, ...]]:
    messages: list[Message] = []
    for number, raw in enumerate(fields.sequence(body.get("messages"), "messages")):
        path = f"messages[{number}]"
        message = fields.mapping(raw, path)
        role = _ROLES.get(str(message.get("role")))
        if role is None:
            fields.refuse(f"{path}.role", '"user", "assistant" or "system"')
        messages.append(Message(role, reader.content(message.get("content"), f"{path}.content"), path))
        reader.keep_unknown(message, path, ("role", "content"))
    leading = next((n for n, message in enumerate(messages) if message.role != "system"), len(messages))
    hoisted = tuple(part for message in messages[:leading] for part in message.parts if isinstance(part, Text))
    return _system(body.get("system"), reader) + hoisted, tuple(messages[leading:])


def _system(value: Any, reader: BlockReader) -> tuple[Text, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Text(value),)
    blocks = fields.sequence(value, "system")
    return tuple(reader.text(fields.mapping(raw, f"system[{n}]"), f"system[{n}]") for n, raw in enumerate(blocks))


def _tools(value: Any, reader: BlockReader) -> tuple[Tool, ...]:
    tools = fields.sequence(value or [], "tools")
    return tuple(_tool(fields.mapping(raw, f"tools[{n}]"), f"tools[{n}]", reader) for n, raw in enumerate(tools))


def _tool(tool: JsonObject, path: str, reader: BlockReader) -> Tool:
    kind = tool.get("type")
    mark = cache_mark(tool, path)
    if kind not in (None, "custom"):
        raw = {name: value for name, value in tool.items() if name != "cache_control"}
        name = tool.get("name") or fields.named(kind, f"{path}.type")
        return Tool(fields.named(name, f"{path}.name"), cache=mark, dialect=DIALECT, raw=raw)
    schema = tool.get("input_schema")
    reader.keep_unknown(
        tool, path, ("type", "name", "description", "input_schema", "strict", "cache_control", *_DELIVERY_HINTS)
    )
    return Tool(
        fields.named(tool.get("name"), f"{path}.name"),
        fields.optional_text(tool.get("description"), f"{path}.description"),
        None if schema is None else fields.mapping(schema, f"{path}.input_schema"),
        fields.flag(tool.get("strict"), f"{path}.strict"),
        mark,
    )


def _tool_choice(value: Any) -> tuple[ToolChoice | None, bool | None]:
    if value is None:
        return None, None
    choice = fields.mapping(value, "tool_choice")
    single = fields.flag(choice.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    parallel = None if single is None else not single
    mode = _MODES.get(str(choice.get("type")))
    if mode is None:
        fields.refuse("tool_choice.type", '"auto", "any", "tool" or "none"')
    name = fields.named(choice.get("name"), "tool_choice.name") if mode == "named" else None
    return ToolChoice(mode, name), parallel


def _reasoning(body: JsonObject, extras: dict[str, Any]) -> Reasoning | None:
    output = fields.mapping(body.get("output_config") or {}, "output_config")
    effort = fields.optional_text(output.get("effort"), "output_config.effort")
    thinking = fields.mapping(body.get("thinking") or {}, "thinking")
    display = fields.optional_text(thinking.get("display"), "thinking.display")
    match thinking.get("type"):
        case "enabled":
            budget = fields.whole(thinking.get("budget_tokens"), "thinking.budget_tokens", 1024)
            return Reasoning(True, effort, budget, display=display)
        case "adaptive":
            return Reasoning(True, effort, adaptive=True, display=display)
        case "disabled":
            return Reasoning(False, effort)
        case None:
            return Reasoning(effort=effort) if effort else None
        case _:
            extras["thinking"] = thinking
            return Reasoning(effort=effort) if effort else None


def _response_format(body: JsonObject, extras: dict[str, Any]) -> ResponseFormat | None:
    """`output_config.format`, or `output_format` as its beta spelt it."""
    output = fields.mapping(body.get("output_config") or {}, "output_config")
    for name, value in output.items():
        if name not in ("effort", "format") and value is not None:
            extras[f"output_config.{name}"] = value
    path = "output_config.format" if output.get("format") is not None else "output_format"
    wanted = output.get("format") or body.get("output_format")
    if wanted is None:
        return None
    wanted = fields.mapping(wanted, path)
    if wanted.get("type") != "json_schema":
        fields.refuse(f"{path}.type", '"json_schema"')
    return ResponseFormat("json_schema", fields.mapping(wanted.get("schema"), f"{path}.schema"), strict=True)


def _metadata(value: Any) -> tuple[str | None, Mapping[str, Any] | None]:
    metadata = dict(fields.mapping(value or {}, "metadata"))
    user = fields.optional_text(metadata.pop("user_id", None), "metadata.user_id")
    return user, metadata or None


def _service_tier(value: Any) -> str | None:
    tier = fields.optional_text(value, "service_tier")
    return "default" if tier == "standard_only" else tier


def _context_management(value: Any, extras: dict[str, Any]) -> None:
    """Clearing no thinking is what every provider does anyway; any other edit of the context is Anthropic's alone."""
    edits = value.get("edits") if isinstance(value, dict) else None
    does_nothing = isinstance(edits, list) and all(
        isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking") and edit.get("keep") == "all"
        for edit in edits
    )
    if value is not None and not (does_nothing and set(value) == {"edits"}):
        extras["context_management"] = value
