"""Tools and the choice among them, in Anthropic's words (cases 6, 7, 19)."""

from collections.abc import Sequence

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.anthropic_messages.vocabulary import DIALECT, cache_field
from pllm.wire.history import allowed_tools, has_tool_blocks, tools_from_history
from pllm.wire.neutral import Message, Request, Tool, ToolChoice
from pllm.wire.schema_dialect import for_bedrock, tool_parameters


def tool_fields(
    request: Request, turns: Sequence[Message], hidden: Tool | None, profile: ModelProfile, report: Report
) -> JsonObject:
    """`tools` and `tool_choice` of the body: neither without tools, whatever the client chose among none."""
    offered = _offered(request, profile, report)
    rebuilt = not offered and has_tool_blocks(turns)
    tools = tools_from_history(turns) if rebuilt else offered
    if rebuilt:
        report.emulated("tools")
    if hidden is not None:
        tools = (*tools, hidden)
    if not tools:
        return {}
    choice = {"type": "none"} if rebuilt and hidden is None else _choice(request, offered, hidden)
    written = [block for number, tool in enumerate(tools) if (block := _tool(tool, number, profile, report)) is not None]
    if not written:
        return {}
    return {"tools": written, "tool_choice": choice} if choice else {"tools": written}


def forces_a_tool(choice: JsonObject | None) -> bool:
    return choice is not None and choice["type"] in ("any", "tool")


def _offered(request: Request, profile: ModelProfile, report: Report) -> tuple[Tool, ...]:
    choice = request.tool_choice
    if request.tools and not profile.supports_tools:
        report.unsupported("tools")
        return ()
    if choice is not None and choice.mode in ("required", "named"):
        if not request.tools:
            raise invalid("'tool_choice' demands a tool, but the request has no 'tools'.", "tool_choice")
        if not profile.supports_tool_choice_any:
            raise report.refusal("tool_choice", "it cannot be made to call a tool.")
        if choice.mode == "named" and choice.name not in {tool.name for tool in request.tools}:
            raise invalid(f"'tool_choice' names {choice.name!r}, which is not among 'tools'.", "tool_choice")
    return allowed_tools(request.tools, choice)


def _choice(request: Request, offered: Sequence[Tool], hidden: Tool | None) -> JsonObject | None:
    if hidden is not None:
        return _hidden_choice(request.tool_choice, offered, hidden)
    single = {"disable_parallel_tool_use": True} if request.parallel_tool_calls is False else {}
    match request.tool_choice:
        case None:
            return {"type": "auto", **single} if single else None
        case ToolChoice("none"):
            return {"type": "none"}
        case ToolChoice("auto"):
            return {"type": "auto", **single}
        case ToolChoice("required"):
            return {"type": "any", **single}
        case ToolChoice(_, name):
            return {"type": "tool", "name": name, **single}


def _hidden_choice(choice: ToolChoice | None, offered: Sequence[Tool], hidden: Tool) -> JsonObject:
    """The model must answer through the hidden tool or call one of the client's, and not both at once."""
    if offered and (choice is None or choice.mode == "auto"):
        return {"type": "any", "disable_parallel_tool_use": True}
    return {"type": "tool", "name": hidden.name, "disable_parallel_tool_use": True}


def _tool(tool: Tool, number: int, profile: ModelProfile, report: Report) -> JsonObject | None:
    if tool.raw is not None:
        if tool.dialect != DIALECT:
            report.unsupported(f"tools[{number}]", f"{tool.name!r} is a tool of the {tool.dialect} dialect.")
            return None
        return {**tool.raw, **cache_field(tool.cache)}
    block: JsonObject = {"name": tool.name}
    if tool.description:
        block["description"] = tool.description
    block["input_schema"] = tool_parameters(tool.parameters)
    if tool.strict:
        _make_strict(block, number, profile, report)
    return {**block, **cache_field(tool.cache)}


def _make_strict(block: JsonObject, number: int, profile: ModelProfile, report: Report) -> None:
    """Only models known to compile schemas take `strict`; the others call the tool without the guarantee."""
    if not (profile.known and profile.structured_output == "native"):
        report.dropped(f"tools[{number}].strict")
        return
    adapted = for_bedrock(block["input_schema"], f"tools[{number}].parameters")
    report.dropped(*(note.encode("ascii", "backslashreplace").decode() for note in adapted.notes))
    block["input_schema"] = adapted.schema
    block["strict"] = True
