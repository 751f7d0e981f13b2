"""Tools and tool choice as Converse's toolConfig (cases 6, 7, 19, 20, 22)."""

from collections.abc import Sequence
from dataclasses import dataclass

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.bedrock_converse.content import cache_point
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.bedrock_converse.vocabulary import DIALECT, TOOL_NAME
from pllm.wire.history import allowed_tools, has_tool_blocks, tools_from_history
from pllm.wire.lane import Target
from pllm.wire.neutral import Message, Request, Tool, ToolChoice
from pllm.wire.schema_dialect import for_bedrock, tool_parameters


@dataclass(frozen=True, slots=True)
class ToolConfig:
    """`config`: the request's toolConfig, None for none. `model_fields`: what only the model's own API can say, for
    additionalModelRequestFields. `forced`: the model must call a tool."""

    config: JsonObject | None = None
    model_fields: JsonObject | None = None
    forced: bool = False


def tool_config(request: Request, turns: Sequence[Message], hidden: Tool | None, target: Target, ledger: Ledger) -> ToolConfig:
    """Raises GatewayError(400) for tools and choices that this model cannot honour.

    `hidden`: the tool that imitates a response format. It joins the client's, and some tool is then forced.
    """
    choice = request.tool_choice
    tools = _offered(request, choice, target, ledger)
    in_history = has_tool_blocks(turns)
    if hidden is None and choice is not None and choice.mode == "none":
        return _for_history_only(tools or tools_from_history(turns), in_history, target, ledger)
    if not tools and hidden is None:
        return _rebuilt(turns, ledger) if in_history else ToolConfig()
    wanted = _choice(choice, tools, hidden)
    if not tools and in_history:
        tools = _rebuilt_tools(turns, ledger)
    entries = _entries((*tools, hidden) if hidden is not None else tools, target, ledger)
    if not entries:
        return _rebuilt(turns, ledger) if in_history else ToolConfig()
    if wanted and not target.profile.supports_tool_choice_any:
        ledger.refuse("response_format" if hidden is not None else "tool_choice", "it cannot be made to call a tool")
        wanted = {}
    return _serial(request, ToolConfig(_config(entries, wanted), None, bool(wanted)), wanted, target, ledger)


def _offered(request: Request, choice: ToolChoice | None, target: Target, ledger: Ledger) -> tuple[Tool, ...]:
    tools = allowed_tools(request.tools, choice)
    if tools and not target.profile.supports_tools:
        ledger.refuse("tools")
        return ()
    if choice is not None and choice.mode == "named" and tools and all(tool.name != choice.name for tool in tools):
        raise invalid(f"'tool_choice' names {choice.name!r}, which is not among 'tools'.", "tool_choice")
    return tools


def _choice(choice: ToolChoice | None, tools: Sequence[Tool], hidden: Tool | None) -> JsonObject:
    """Converse's toolChoice; empty for auto, which is what happens without one and which every model knows."""
    if choice is not None and choice.mode == "named" and tools:
        return {"tool": {"name": choice.name}}
    if hidden is not None and not tools:
        return {"tool": {"name": hidden.name}}
    if hidden is not None and choice is not None and choice.mode == "none":
        return {"tool": {"name": hidden.name}}
    if hidden is not None or (choice is not None and choice.mode == "required" and tools):
        return {"any": {}}
    return {}


def answers_with_a_tool_anyway(request: Request) -> bool:
    """Whether the client itself forces one of its tools: then the answer is that call and no response format applies."""
    choice = request.tool_choice
    return bool(request.tools) and choice is not None and choice.mode in ("required", "named")


def _for_history_only(tools: Sequence[Tool], in_history: bool, target: Target, ledger: Ledger) -> ToolConfig:
    """tool_choice none: Converse has no such choice, so tools are left out, unless the history cannot be sent without."""
    if not in_history or not tools:
        return ToolConfig()
    ledger.emulate("tool_choice")
    return ToolConfig(_config(_entries(tools, target, ledger), {}))


def _rebuilt(turns: Sequence[Message], ledger: Ledger) -> ToolConfig:
    tools = _rebuilt_tools(turns, ledger)
    return ToolConfig({"tools": [_plain_entry(tool) for tool in tools]} if tools else None)


def _rebuilt_tools(turns: Sequence[Message], ledger: Ledger) -> tuple[Tool, ...]:
    """Tool blocks in the history need a toolConfig: the least one that fits them (case 6)."""
    tools = tools_from_history(turns)
    if tools:
        ledger.emulate("tools")
    return tools


def _config(entries: list[JsonObject], choice: JsonObject) -> JsonObject:
    return {"tools": entries, "toolChoice": choice} if choice else {"tools": entries}


def _serial(request: Request, made: ToolConfig, choice: JsonObject, target: Target, ledger: Ledger) -> ToolConfig:
    """parallel_tool_calls: false. Converse cannot say it; Claude's own API can, in one field with the choice."""
    if request.parallel_tool_calls is not False or made.config is None or not request.tools:
        return made
    if target.profile.known and target.profile.thinking not in ("budget", "adaptive"):
        ledger.refuse("parallel_tool_calls")
        return made
    named = choice.get("tool", {}).get("name")
    said: JsonObject = {"type": "tool", "name": named} if named else {"type": "any" if choice else "auto"}
    config = {"tools": made.config["tools"]}
    return ToolConfig(config, {"tool_choice": {**said, "disable_parallel_tool_use": True}}, made.forced)


# --- Entries --------------------------------------------------------------------------------------------------------


def _entries(tools: Sequence[Tool], target: Target, ledger: Ledger) -> list[JsonObject]:
    entries: list[JsonObject] = []
    for number, tool in enumerate(tools):
        entries += _entry(tool, f"tools[{number}]", target, ledger)
        if tool.cache is not None and entries and "cachePoint" not in entries[-1]:
            entries.append(cache_point(tool.cache))
    return entries


def _entry(tool: Tool, path: str, target: Target, ledger: Ledger) -> list[JsonObject]:
    if tool.raw is not None and tool.dialect == DIALECT:
        return [dict(tool.raw)]
    if tool.raw is not None:
        kind = tool.raw.get("type") or tool.name
        ledger.refuse(f"{path}.{kind}", "Bedrock does not run this tool")
        return []
    if not TOOL_NAME.fullmatch(tool.name):
        raise invalid(f"'{path}.name' is {tool.name!r}; names have 1 to 64 of a-z, A-Z, 0-9, _ and -.", f"{path}.name")
    return [_strict_entry(tool, path, ledger) if _is_strict(tool, path, target, ledger) else _plain_entry(tool)]


def _is_strict(tool: Tool, path: str, target: Target, ledger: Ledger) -> bool:
    if not tool.strict:
        return False
    if target.profile.structured_output == "native":
        return True
    # The schema is sent all the same, so nearly every call fits it: not worth an error, but the guarantee is gone.
    ledger.drop(f"{path}.strict")
    return False


def _plain_entry(tool: Tool) -> JsonObject:
    spec: JsonObject = {"name": tool.name, "inputSchema": {"json": tool_parameters(tool.parameters)}}
    if tool.description:
        spec["description"] = tool.description
    return {"toolSpec": spec}


def _strict_entry(tool: Tool, path: str, ledger: Ledger) -> JsonObject:
    entry = _plain_entry(tool)
    schema, notes = for_bedrock(tool_parameters(tool.parameters), f"{path}.parameters")
    ledger.drop(*notes)
    entry["toolSpec"] |= {"inputSchema": {"json": schema}, "strict": True}
    return entry
