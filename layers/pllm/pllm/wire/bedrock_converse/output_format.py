"""Structured output: Bedrock's own where the model has it, else a hidden tool whose input is the answer (cases 19, 20)."""

from dataclasses import dataclass

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.bedrock_converse.tools import answers_with_a_tool_anyway
from pllm.wire.bedrock_converse.vocabulary import TOOL_NAME
from pllm.wire.lane import Target
from pllm.wire.neutral import Request, ResponseFormat, Tool
from pllm.wire.schema_dialect import for_bedrock, is_object, tool_parameters

_TOOL = "final_answer"
_PURPOSE = "Gives the final answer. Call it with the whole answer, as the JSON object that was asked for, and nothing else."
_ANY_OBJECT: JsonObject = {"type": "object", "additionalProperties": True}


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """`config`: Converse's outputConfig. `tool`: the tool that stands in for it. At most one is set."""

    config: JsonObject | None = None
    tool: Tool | None = None


def output_format(request: Request, target: Target, ledger: Ledger) -> OutputFormat:
    """Raises GatewayError(400) for a schema that is none, and for a model that can do neither."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return OutputFormat()
    support = target.profile.structured_output
    if wanted.kind == "json_schema" and support == "native":
        return OutputFormat(_native(wanted, ledger))
    if support == "none" or not target.profile.supports_tools:
        ledger.refuse("response_format")
        return OutputFormat()
    if answers_with_a_tool_anyway(request):
        return OutputFormat()
    ledger.emulate("response_format")
    return OutputFormat(tool=Tool(_free_name(request), _purpose(wanted), _schema(wanted)))


def _native(wanted: ResponseFormat, ledger: Ledger) -> JsonObject:
    schema, notes = for_bedrock(_schema(wanted), "response_format.json_schema.schema")
    ledger.drop(*notes)
    described: JsonObject = {"schema": dumps(schema).decode()}
    if wanted.name and TOOL_NAME.fullmatch(wanted.name):
        described["name"] = wanted.name
    if wanted.description:
        described["description"] = wanted.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": described}}}


def _schema(wanted: ResponseFormat) -> JsonObject:
    if wanted.kind == "json_object":
        return dict(_ANY_OBJECT)
    path = "response_format.json_schema.schema"
    if wanted.schema is None:
        raise invalid(f"'{path}' is missing.", path)
    schema = dict(wanted.schema)
    if "type" in schema and not is_object(schema):
        raise invalid(f"'{path}' must describe an object, not {schema['type']!r}.", path)
    return tool_parameters(schema)


def _purpose(wanted: ResponseFormat) -> str:
    return f"{_PURPOSE} {wanted.description}" if wanted.description else _PURPOSE


def _free_name(request: Request) -> str:
    """A name that no tool of the client has."""
    taken = {tool.name for tool in request.tools}
    name = _TOOL
    while name in taken:
        name += "_"
    return name
