"""Structured output (translation case 19): Gemini's own response schema, or a hidden function whose arguments are the answer.

Models before Gemini 3 refuse a response schema beside functions. There, and where a profile says so, the schema becomes one
more function and a call is forced; the reader of the answer turns that call back into text and never shows it.
"""

from dataclasses import replace

from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.schema import carry
from pllm.wire.neutral import Request, ResponseFormat, Tool, ToolChoice
from pllm.wire.schema_dialect import is_object

HIDDEN_TOOL = "answer_as_json"
_PATH = "response_format.json_schema.schema"


def response_config(wanted: ResponseFormat | None, losses: Losses) -> JsonObject:
    """The fields of generationConfig for a format that the model has natively."""
    if wanted is None or wanted.kind == "text":
        return {}
    config: JsonObject = {"responseMimeType": "application/json"}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        carried = carry(wanted.schema, _PATH)
        losses.drop(*carried.notes)
        config["responseJsonSchema" if carried.json_schema else "responseSchema"] = carried.schema
    return config


def with_hidden_tool(request: Request, profile: ModelProfile, losses: Losses) -> tuple[Request, str | None]:
    """`request` with its response format as a forced function, and the function's name; unchanged with None where the model
    has the format natively or the client's tool choice leaves no room for an answer in that format."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text" or not _must_imitate(request, profile):
        return request, None
    without = replace(request, response_format=None)
    mode = request.tool_choice.mode if request.tool_choice else "auto"
    if request.tools and mode in ("required", "named"):
        return without, None  # the client wants a call this time, which has its own schema
    if wanted.schema is None or not is_object(dict(wanted.schema)):
        losses.refuse("response_format", "it has no structured output beside tools, and only an object schema can be imitated")
        return without, None
    name = _free_name({tool.name for tool in request.tools})
    description = wanted.description or "Give the final answer with this function."
    hidden = Tool(name, description, wanted.schema)
    offered = () if mode == "none" else request.tools
    losses.emulate("response_format")
    return replace(without, tools=(*offered, hidden), tool_choice=ToolChoice("required")), name


def _must_imitate(request: Request, profile: ModelProfile) -> bool:
    if profile.structured_output != "native":
        return True
    return profile.known and profile.thinking in ("budget", "none") and any(tool.raw is None for tool in request.tools)


def _free_name(taken: set[str]) -> str:
    name = HIDDEN_TOOL
    while name in taken:
        name += "_"
    return name
