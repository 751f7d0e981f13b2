"""A neutral request as a Chat Completions body."""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.history import allowed_tools
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Reasoning, Request, ResponseFormat, Tool, ToolChoice
from pllm.wire.openai_chat.edit import edit
from pllm.wire.openai_chat.lane import PATH
from pllm.wire.openai_chat.notes import Notes
from pllm.wire.openai_chat.upstream_messages import MessageWriter
from pllm.wire.schema_dialect import close_objects, tool_parameters
from pllm.wire.translator import Encoded

_SAME_MEANING = {
    "chat": frozenset(
        {
            "audio",
            "modalities",
            "moderation",
            "prediction",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
        }
        | {"safety_identifier", "store", "stream_options", "web_search_options"}
    ),
    "responses": frozenset({"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"}),
}
"""Fields without a neutral form that mean here what they mean in the client's dialect."""

_PLAIN = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "verbosity",
    "user",
)

_HIDDEN_TOOL = "structured_output"


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises GatewayError(400) naming field and model for what cannot be carried, unless target.drop_unsupported."""
    notes = Notes(target)
    body: JsonObject = {"model": request.model, "messages": MessageWriter(target, notes).write(request)}
    hidden = _tools_and_format(body, request, target, notes)
    _settings(body, request, target, notes)
    _extras(body, request, target, notes)
    edited = edit(body, target)
    notes.drop(*edited.dropped)
    wire = WireRequest(PATH, dumps(edited.body), target.model, edited.stream)
    return Encoded(wire, tuple(notes.dropped), tuple(notes.emulated), hidden, target.quirks.done_marker)


# --- Settings ---------------------------------------------------------------------------------------------------------


def _settings(body: JsonObject, request: Request, target: Target, notes: Notes) -> None:
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            body[name] = dict(value) if isinstance(value, Mapping) else value
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.n != 1:
        body["n"] = request.n
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if request.top_k is not None:
        _beyond(body, "top_k", request.top_k, target, notes)
    _stop(body, request, target)
    _service_tier(body, request, notes)
    if request.reasoning is not None:
        _reasoning(body, request.reasoning, target, notes)
    if request.metadata and request.dialect == "chat":
        body["metadata"] = dict(request.metadata)
    elif request.metadata:
        notes.drop("metadata")


def _beyond(body: JsonObject, name: str, value: Any, target: Target, notes: Notes) -> None:
    """A field that the dialect does not have, but some providers do; an operator who configures one knows that."""
    if name in target.quirks.accepted or name in target.defaults:
        body[name] = value
    else:
        notes.refuse(name)


def _stop(body: JsonObject, request: Request, target: Target) -> None:
    limit = target.profile.max_stop_sequences
    if limit is not None and len(request.stop) > limit:
        raise invalid(f"Model {target.public_name!r} takes at most {limit} stop sequences, not {len(request.stop)}.", "stop")
    if request.stop:
        body["stop"] = list(request.stop)


def _service_tier(body: JsonObject, request: Request, notes: Notes) -> None:
    """Anthropic's "standard_only" is what everyone else calls "default"."""
    if request.service_tier is None:
        return
    same = {"standard_only": "default"} if request.dialect == "messages" else {}
    body["service_tier"] = same.get(request.service_tier, request.service_tier)
    if body["service_tier"] != request.service_tier:
        notes.emulate("service_tier")


def _reasoning(body: JsonObject, reasoning: Reasoning, target: Target, notes: Notes) -> None:
    """Chat knows efforts only. A budget becomes the effort it amounts to; "adaptive" is what a model does unasked (case 11)."""
    effort = _effort(reasoning, target, notes)
    if effort is not None:
        body["reasoning_effort"] = effort
    elif reasoning.enabled is not None and "thinking" in target.quirks.accepted:
        body["thinking"] = {"type": "enabled" if reasoning.enabled else "disabled"}
    elif reasoning.enabled and target.profile.thinking == "none":
        notes.refuse("reasoning_effort", "it cannot think")
    if reasoning.summary is not None:
        notes.drop("reasoning.summary")
    if reasoning.display is not None:
        notes.drop("thinking.display")


def _effort(reasoning: Reasoning, target: Target, notes: Notes) -> str | None:
    profile = target.profile
    effort = reasoning.effort
    if effort is None and reasoning.enabled is False and profile.known and profile.thinking != "none":
        # An unknown model may not know the field, and most do not think unless asked.
        effort = "none"
    if effort == "none" and profile.known and not profile.can_disable_thinking:
        notes.refuse("reasoning_effort", "it cannot be told not to think")
        return None
    if effort is None and reasoning.budget_tokens is not None:
        notes.emulate("thinking.budget_tokens")
        return "low" if reasoning.budget_tokens < 4096 else "medium" if reasoning.budget_tokens < 16384 else "high"
    return effort


def _extras(body: JsonObject, request: Request, target: Target, notes: Notes) -> None:
    same = _SAME_MEANING.get(request.dialect, frozenset())
    for name, value in request.extras.items():
        if name == "stream_options" and name in same:
            body[name] = {**value, **body.get(name, {})}
        elif name in same:
            body[name] = value
        else:
            _beyond(body, name, value, target, notes)


# --- Tools and structured output --------------------------------------------------------------------------------------


def _tools_and_format(body: JsonObject, request: Request, target: Target, notes: Notes) -> str | None:
    tools = [written for tool in allowed_tools(request.tools, request.tool_choice) if (written := _tool(tool, request, notes))]
    choice = _choice(request.tool_choice, target, notes) if tools else None
    hidden = None
    wanted = request.response_format
    if wanted is not None and wanted.kind == "json_schema" and target.profile.structured_output != "native":
        hidden, choice = _imitate(wanted, tools, choice, target, notes)
    elif wanted is not None and wanted.kind != "text":
        body["response_format"] = _format(wanted, request, notes)
    if tools:
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
        if request.parallel_tool_calls is not None and request.tools:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    return hidden


def _tool(tool: Tool, request: Request, notes: Notes) -> JsonObject | None:
    if tool.raw is not None:
        if tool.dialect == "chat":
            return dict(tool.raw)
        notes.refuse(f"tools.{tool.name}", "it is a tool that another provider runs")
        return None
    if tool.cache is not None:
        notes.drop("cache_control")
    function: JsonObject = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    parameters = tool_parameters(tool.parameters)
    if tool.strict and request.dialect == "messages":
        adapted = close_objects(parameters, f"tools.{tool.name}.parameters")
        parameters = adapted.schema
        notes.drop(*adapted.notes)
    function["parameters"] = parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice | None, target: Target, notes: Notes) -> str | JsonObject | None:
    if choice is None:
        return None
    if choice.mode in ("required", "named") and not target.profile.supports_tool_choice_any:
        notes.refuse("tool_choice", "it cannot be made to call a tool")
        return None
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _format(wanted: ResponseFormat, request: Request, notes: Notes) -> JsonObject:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema = dict(wanted.schema or {})
    if wanted.strict and request.dialect == "messages":
        adapted = close_objects(schema, "response_format.json_schema.schema")
        schema = adapted.schema
        notes.drop(*adapted.notes)
    spec: JsonObject = {"name": wanted.name or "response", "schema": schema}
    if wanted.description is not None:
        spec["description"] = wanted.description
    if wanted.strict is not None:
        spec["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": spec}


def _imitate(
    wanted: ResponseFormat, tools: list[JsonObject], choice: str | JsonObject | None, target: Target, notes: Notes
) -> tuple[str | None, str | JsonObject | None]:
    """json_schema as a forced tool (case 19). A tool that the client itself forces comes first: that turn is no answer."""
    profile = target.profile
    if profile.structured_output == "none" or not (profile.supports_tools and profile.supports_tool_choice_any):
        notes.refuse("response_format", "it can neither follow a schema nor be made to call a tool")
        return None, choice
    if isinstance(choice, dict):
        return None, choice
    taken = {tool.get("function", {}).get("name") for tool in tools}
    name = next(n for n in (_HIDDEN_TOOL, *(f"{_HIDDEN_TOOL}_{i}" for i in range(len(taken) + 1))) if n not in taken)
    about = wanted.description or "Gives the final answer to the user, in the form that was asked for."
    callable_tools = [] if choice == "none" else list(tools)
    tools[:] = [
        *callable_tools,
        {"type": "function", "function": {"name": name, "description": about, "parameters": tool_parameters(wanted.schema)}},
    ]
    notes.emulate("response_format")
    return name, "required" if callable_tools else {"type": "function", "function": {"name": name}}
