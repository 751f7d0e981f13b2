"""Tools, tool choice, output format and reasoning settings of a Responses request, read into neutral values."""

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import boolean, kind, mapping, optional, required, sequence, string
from pllm.wire.neutral import Reasoning, ResponseFormat, Tool, ToolChoice

_PLAIN_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict"})

_INCLUDABLE = frozenset(
    {
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
    }
)


def read_tools(value: Json) -> tuple[Tool, ...]:
    """Functions become neutral tools. Everything OpenAI runs itself (web search, MCP, ...), and functions with settings only
    OpenAI knows (deferred loading, ...), stay raw, to be refused by name where they cannot go."""
    if value is None:
        return ()
    return tuple(_tool(mapping(t, f"tools[{n}]"), f"tools[{n}]") for n, t in enumerate(sequence(value, "tools")))


def _tool(tool: JsonObject, path: str) -> Tool:
    form = required(tool, "type", string, path)
    if form != "function":
        return Tool(hosted_name(tool), dialect="responses", raw=tool)
    if "name" not in tool and isinstance(tool.get("function"), dict):
        raise invalid(
            f"'{path}.name' is required: in the Responses API a function's name and parameters stand beside 'type', not "
            "under 'function'.",
            f"{path}.name",
        )
    name = required(tool, "name", string, path)
    description = optional(tool, "description", string, path)
    parameters = optional(tool, "parameters", mapping, path)
    strict = optional(tool, "strict", boolean, path)
    if any(value not in (None, False) for key, value in tool.items() if key not in _PLAIN_FUNCTION):
        return Tool(name, description, parameters, strict, dialect="responses", raw=tool)
    return Tool(name, description, parameters, strict)


def hosted_name(tool: JsonObject) -> str:
    """What a tool that is no function goes by: its own name, its server's label, or its type."""
    for key in ("name", "server_label", "type"):
        if isinstance(tool.get(key), str) and tool[key]:
            return str(tool[key])
    return ""


def read_tool_choice(value: Json, tools: tuple[Tool, ...]) -> ToolChoice | None:
    if value is None:
        return None
    if isinstance(value, str):
        match value:
            case "auto" | "none" | "required":
                return ToolChoice(value)
            case _:
                raise invalid(f"'tool_choice' must be auto, none, required or an object, not {value!r}.", "tool_choice")
    choice = mapping(value, "tool_choice")
    if required(choice, "type", string, "tool_choice") == "allowed_tools":
        return _allowed(choice, tools)
    if choice["type"] == "function":
        required(choice, "name", string, "tool_choice")
    name = hosted_name(choice)
    _must_exist(name, tools, "tool_choice")
    return ToolChoice("named", name)


def _allowed(choice: JsonObject, tools: tuple[Tool, ...]) -> ToolChoice:
    path = "tool_choice.tools"
    listed = required(choice, "tools", sequence, "tool_choice")
    names = tuple(hosted_name(mapping(tool, f"{path}[{n}]")) for n, tool in enumerate(listed))
    for number, name in enumerate(names):
        _must_exist(name, tools, f"{path}[{number}]")
    match required(choice, "mode", string, "tool_choice"):
        case "auto" | "required" as mode:
            return ToolChoice(mode, allowed=names)
        case mode:
            raise invalid(f"'tool_choice.mode' must be auto or required, not {mode!r}.", "tool_choice.mode")


def _must_exist(name: str, tools: tuple[Tool, ...], path: str) -> None:
    if all(tool.name != name for tool in tools):
        raise invalid(f"'{path}' names the tool {name!r}, which is not in 'tools'.", path)


def read_format(value: Json) -> ResponseFormat | None:
    """`text.format`."""
    if value is None:
        return None
    path = "text.format"
    form = mapping(value, path)
    match required(form, "type", string, path):
        case "text":
            return ResponseFormat("text")
        case "json_object":
            return ResponseFormat("json_object")
        case "json_schema":
            return ResponseFormat(
                "json_schema",
                required(form, "schema", mapping, path),
                required(form, "name", string, path),
                optional(form, "description", string, path),
                optional(form, "strict", boolean, path),
            )
        case other:
            raise invalid(f"'{path}.type' must be text, json_object or json_schema, not {other!r}.", f"{path}.type")


def read_reasoning(value: Json) -> tuple[Reasoning | None, JsonObject]:
    """`reasoning`, and the settings in it that have no neutral form, under their dotted names. `context: auto` and
    `mode: standard` are what happens anyway."""
    if value is None:
        return None, {}
    settings = mapping(value, "reasoning")
    effort = optional(settings, "effort", string, "reasoning")
    summary = optional(settings, "summary", string, "reasoning") or optional(settings, "generate_summary", string, "reasoning")
    known = {"effort", "summary", "generate_summary"}
    usual = {"context": "auto", "mode": "standard"}
    rest = {
        f"reasoning.{key}": setting
        for key, setting in settings.items()
        if key not in known and setting is not None and setting != usual.get(key)
    }
    reasoning = Reasoning(effort=effort, summary=summary) if effort or summary else None
    return reasoning, rest


def wants_logprobs(include: Json) -> bool:
    """Reads `include`. Encrypted reasoning is always included; the other names are about hosted tools' results, of which
    there are none where those tools cannot run."""
    if include is None:
        return False
    for number, name in enumerate(sequence(include, "include")):
        if not isinstance(name, str) or name not in _INCLUDABLE:
            shown = repr(name) if isinstance(name, str) else kind(name)
            raise invalid(f"'include[{number}]' is {shown}; known are: {', '.join(sorted(_INCLUDABLE))}.", f"include[{number}]")
    return "message.output_text.logprobs" in include
