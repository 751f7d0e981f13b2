"""Answers of a given shape: natively where the model can, else by a tool that must be called and is never shown (case 19)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.lane import Target
from pllm.wire.neutral import Request, ResponseFormat, Tool
from pllm.wire.schema_dialect import for_bedrock

_HIDDEN_NAME = "final_answer"
_SCHEMA_PATH = "response_format.json_schema.schema"


@dataclass(frozen=True, slots=True)
class Shape:
    """`format` belongs into `output_config`; `tool` is the hidden tool that stands in where there is no native format."""

    format: JsonObject | None = None
    tool: Tool | None = None


def plan_shape(request: Request, target: Target, report: Report) -> Shape:
    """Raises GatewayError(400) where the model can produce no such shape, unless that may be dropped."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return Shape()
    if target.profile.structured_output == "none":
        report.unsupported("response_format")
        return Shape()
    if wanted.kind == "json_schema" and target.profile.structured_output == "native":
        native = _native(request, wanted, report)
        if native is not None:
            return Shape(format={"type": "json_schema", "schema": native})
    if _must_call_a_tool(request):
        # The answer is a call of the client's own tool: there is no text that could have the shape.
        return Shape()
    report.emulated("response_format")
    return Shape(tool=_hidden_tool(request, wanted))


def _native(request: Request, wanted: ResponseFormat, report: Report) -> JsonObject | None:
    """The schema in Anthropic's subset; None for a recursive one, which only a tool can take."""
    schema = _schema(wanted)
    if request.dialect == "messages":
        return dict(schema)
    try:
        adapted = for_bedrock(schema, _SCHEMA_PATH)
    except GatewayError as error:
        if error.code == "recursive_schema":
            return None
        raise
    report.dropped(*(note.encode("ascii", "backslashreplace").decode() for note in adapted.notes))
    return adapted.schema


def _schema(wanted: ResponseFormat) -> Mapping[str, Any]:
    if wanted.schema is None:
        raise invalid(f"'{_SCHEMA_PATH}' is missing.", _SCHEMA_PATH)
    return wanted.schema


def _must_call_a_tool(request: Request) -> bool:
    choice = request.tool_choice
    return bool(request.tools) and choice is not None and choice.mode in ("required", "named")


def _hidden_tool(request: Request, wanted: ResponseFormat) -> Tool:
    name, taken = _HIDDEN_NAME, {tool.name for tool in request.tools}
    while name in taken:
        name += "_"
    if wanted.kind == "json_object":
        what = "Give the whole final answer as one JSON object: its fields are the arguments."
        return Tool(name, what, {"type": "object", "additionalProperties": True})
    schema = _schema(wanted)
    if schema.get("type", "object") != "object":
        raise invalid(f"'{_SCHEMA_PATH}' must describe an object.", _SCHEMA_PATH)
    purpose = f" {wanted.description}" if wanted.description else ""
    return Tool(name, f"Give the whole final answer through this tool's arguments.{purpose}", dict(schema))
