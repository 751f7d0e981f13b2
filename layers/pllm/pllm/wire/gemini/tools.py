"""Tools and tool choice in Gemini's words (translation cases 6, 7, 20)."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.naming import camel
from pllm.wire.gemini.schema import carry
from pllm.wire.history import allowed_tools
from pllm.wire.neutral import Request, Tool, ToolChoice
from pllm.wire.schema_dialect import tool_parameters

_SERVER_TOOLS = frozenset(
    {
        *("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch", "codeExecution", "urlContext", "googleMaps"),
        *("fileSearch", "computerUse", "retrieval", "mcpServers"),
    }
)


def tools_and_config(request: Request, losses: Losses) -> JsonObject:
    """`tools` and `toolConfig` of the body, each only where it is needed."""
    functions = [tool for tool in request.tools if tool.raw is None]
    servers = [entry for tool in request.tools if tool.raw is not None for entry in _server_tool(tool, losses)]
    if request.parallel_tool_calls is False and functions:
        losses.refuse("parallel_tool_calls", "Gemini cannot be kept from calling several tools at once")
    narrowed = _narrowed(functions, request.tool_choice)
    body: JsonObject = {}
    declared = [_declaration(tool, losses) for tool in narrowed]
    if declared or servers:
        body["tools"] = [*([{"functionDeclarations": declared}] if declared else []), *servers]
    config = _tool_config(narrowed, request.tool_choice) if declared else {}
    if declared and servers:
        config["includeServerSideToolInvocations"] = True  # without it, own and Google's tools do not go together
    if config:
        body["toolConfig"] = config
    return body


def _narrowed(functions: list[Tool], choice: ToolChoice | None) -> list[Tool]:
    """Gemini's own list of allowed names works only where a call is forced, so for `auto` the others are not sent."""
    allowed = list(allowed_tools(functions, choice))
    if choice is not None and choice.mode == "required":
        return functions
    return allowed


def _declaration(tool: Tool, losses: Losses) -> JsonObject:
    declaration: JsonObject = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    parameters = tool_parameters(tool.parameters)
    if set(parameters) <= {"type", "properties", "additionalProperties", "required", "$schema", "title"} and not parameters.get(
        "properties"
    ):
        return declaration  # Gemini refuses an object schema without properties; none at all means the same
    carried = carry(parameters, f"tools.{tool.name}")
    losses.drop(*carried.notes)
    declaration["parametersJsonSchema" if carried.json_schema else "parameters"] = carried.schema
    return declaration


def _tool_config(functions: list[Tool], choice: ToolChoice | None) -> JsonObject:
    mode = choice.mode if choice else "auto"
    if mode == "none":
        return {"functionCallingConfig": {"mode": "NONE"}}
    if choice is not None and mode == "named":
        if choice.name not in {tool.name for tool in functions}:
            raise invalid(f"tool_choice names {choice.name!r}, which is not among 'tools'.", "tool_choice")
        return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [choice.name]}}
    if choice is not None and mode == "required":
        names = {"allowedFunctionNames": list(choice.allowed)} if choice.allowed is not None else {}
        return {"functionCallingConfig": {"mode": "ANY", **names}}
    if any(tool.strict for tool in functions):
        return {"functionCallingConfig": {"mode": "VALIDATED"}}  # calls or text, but calls only as their schema says
    return {}


def _server_tool(tool: Tool, losses: Losses) -> list[JsonObject]:
    entry = _as_gemini_tool(tool.raw or {})
    if entry is None:
        losses.refuse(f"tools.{tool.name or (tool.raw or {}).get('type')}", "a tool that another provider runs")
        return []
    return [entry]


def _as_gemini_tool(raw: Mapping[str, Any]) -> JsonObject | None:
    """{"googleSearch": {}} as it is, or {"type": "google_search", ...}; None for anyone else's tool."""
    rest = {key: value for key, value in raw.items() if key != "type"}
    kind = raw.get("type")
    if isinstance(kind, str) and camel(kind) in _SERVER_TOOLS:
        name = camel(kind)
        inner = rest.get(name, rest.get(kind))
        return {name: camel_keys(inner if isinstance(inner, dict) else rest)}
    if rest and all(camel(key) in _SERVER_TOOLS for key in rest):
        return {camel(key): camel_keys(value) for key, value in rest.items()}
    return None


def camel_keys(value: Any) -> Any:
    """The keys of one object in camelCase; what is below belongs to the tool."""
    return {camel(key): inner for key, inner in value.items()} if isinstance(value, dict) else value
