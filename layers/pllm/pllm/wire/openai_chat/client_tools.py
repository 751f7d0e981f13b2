"""Chat's tools, and the functions they grew out of, as neutral ones."""

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import boolean, mapping, optional, required, sequence, string
from pllm.wire.neutral import Tool, ToolChoice
from pllm.wire.openai_chat.client_parts import cache_mark


def read_tools(body: JsonObject) -> tuple[tuple[Tool, ...], bool]:
    """The tools, and whether the client speaks of them as legacy `functions`."""
    listed = optional(body, "tools", sequence)
    functions = optional(body, "functions", sequence)
    if listed and functions:
        raise invalid("'functions' is the older name of 'tools'; set one.", "functions")
    if functions:
        places = [f"functions[{i}]" for i in range(len(functions))]
        return tuple(_function(mapping(f, path), path) for f, path in zip(functions, places, strict=True)), True
    places = [f"tools[{i}]" for i in range(len(listed or ()))]
    tools = tuple(_tool(mapping(entry, path), path) for entry, path in zip(listed or (), places, strict=True))
    _expect_distinct(tools)
    return tools, False


def _tool(entry: JsonObject, path: str) -> Tool:
    match "function" if "function" in entry else required(entry, "type", string, path):
        case "function":
            return _function(
                required(entry, "function", mapping, path), f"{path}.function", cache_holder=entry, cache_path=path
            )
        case "custom":
            name = required(required(entry, "custom", mapping, path), "name", string, f"{path}.custom")
            return Tool(name, dialect="chat", raw=entry)
        case other:
            return Tool(other, dialect="chat", raw=entry)


def _function(function: JsonObject, path: str, cache_holder: JsonObject | None = None, cache_path: str = "") -> Tool:
    mark = cache_mark(cache_holder, cache_path) if cache_holder is not None else None
    return Tool(
        required(function, "name", string, path),
        optional(function, "description", string, path),
        optional(function, "parameters", mapping, path),
        optional(function, "strict", boolean, path),
        mark or cache_mark(function, path),
    )


def _expect_distinct(tools: tuple[Tool, ...]) -> None:
    seen: set[str] = set()
    for number, tool in enumerate(tools):
        if tool.name in seen and tool.raw is None:
            raise invalid(f"Two tools are called {tool.name!r}.", f"tools[{number}].function.name")
        seen.add(tool.name)


def read_choice(body: JsonObject, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """None where it says nothing: without tools, "auto" and "none" are what happens anyway (case 6)."""
    path, value = ("tool_choice", body.get("tool_choice"))
    if value is None:
        path, value = ("function_call", body.get("function_call"))
    if value is None:
        return None
    choice = _choice(value, path)
    if not tools:
        if choice.mode in ("auto", "none"):
            return None
        raise invalid(f"'{path}' asks for a tool call, but there are no 'tools'.", path)
    names = {tool.name for tool in tools}
    for name in (*([choice.name] if choice.name else ()), *(choice.allowed or ())):
        if name not in names:
            raise invalid(f"'{path}' names {name!r}, which is not among the tools.", path)
    return choice


def _choice(value: Json, path: str) -> ToolChoice:
    match value:
        case "auto" | "none" | "required":
            return ToolChoice(value)
        case "any":
            # Mistral's word, as is a choice without a type.
            return ToolChoice("required")
        case {"function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("named", name)
        case {"name": str(name)} if path == "function_call":
            return ToolChoice("named", name)
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(listed)}}:
            return ToolChoice(
                mode, allowed=tuple(_allowed(entry, f"{path}.allowed_tools.tools[{i}]") for i, entry in enumerate(listed))
            )
        case _:
            raise invalid(f"'{path}' must be auto, none, required or a function by name.", path)


def _allowed(entry: Json, path: str) -> str:
    told = mapping(entry, path)
    holder = told.get("function") or told.get("custom") or told
    return required(mapping(holder, path), "name", string, path)
