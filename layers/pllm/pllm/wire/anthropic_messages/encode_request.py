"""A neutral request, to the body of an Anthropic Messages request."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.anthropic_messages.encode_blocks import BlockWriter, own_thinking_only
from pllm.wire.anthropic_messages.encode_tools import forces_a_tool, tool_fields
from pllm.wire.anthropic_messages.parameters import other_fields, output_extras, strip_refused
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.anthropic_messages.structured import plan_shape
from pllm.wire.anthropic_messages.thinking import REASONING_PARAMS, Plan, fit_tokens, plan_thinking, sampling
from pllm.wire.defaults import with_defaults
from pllm.wire.history import arrange, is_prefill, limit_cache_marks
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Message, Request, Text
from pllm.wire.translator import Encoded

PATH = "messages"
COUNT_PATH = "messages/count_tokens"
MOST_CACHE_MARKS = 4

# What counting takes of a request; the rest does not change the number.
_COUNTED = (
    "model",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
    "context_management",
    "mcp_servers",
)


def encode_request(request: Request, target: Target) -> Encoded:
    """Raises GatewayError(400) naming field and model for what Anthropic cannot carry, unless target.drop_unsupported."""
    body, report, hidden = _body(request, target)
    body["stream"] = request.stream
    body.update(target.quirks.body)
    wire = WireRequest(PATH, dumps(body), target.model, request.stream)
    return Encoded(wire, report.all_dropped, report.all_emulated, hidden)


def encode_count_tokens(request: Request, target: Target) -> WireRequest:
    """The same request as a question for its size in tokens."""
    body, _, _ = _body(request, target)
    return WireRequest(COUNT_PATH, dumps(counted_fields(body, target)), target.model, False)


def counted_fields(body: Mapping[str, Any], target: Target) -> JsonObject:
    return {**{name: body[name] for name in _COUNTED if name in body}, **target.quirks.body}


def _body(request: Request, target: Target) -> tuple[JsonObject, Report, str | None]:
    asked, request = request, with_defaults(request, target.defaults)
    report, profile = Report(target, _filled(asked, request)), target.profile
    turns = _turns(request, target, report)
    request, lost_marks = limit_cache_marks(
        replace(request, messages=turns), MOST_CACHE_MARKS if profile.supports_cache_marks else 0
    )
    report.dropped(*lost_marks)
    shape = plan_shape(request, target, report)
    tools = tool_fields(request, request.messages, shape.tool, profile, report)
    forced = forces_a_tool(tools.get("tool_choice"))
    plan = plan_thinking(request, profile, request.messages, report, forced_tool=forced)
    max_tokens, plan = fit_tokens(request, profile, plan, report)
    body: JsonObject = {"model": target.model} if target.quirks.model_in_body else {}
    body["max_tokens"] = max_tokens
    body.update(_conversation(request, report))
    body.update(tools)
    body.update(_output_fields(request, plan, shape.format))
    body.update(sampling(request, profile, plan, report))
    body.update(other_fields(request, target, report))
    _check_prefill(request, target, plan, report)
    strip_refused(body, target, report)
    return body, report, shape.tool.name if shape.tool else None


def _filled(asked: Request, filled: Request) -> frozenset[str]:
    """The parameters that came from the configuration, under the names a report uses."""
    names = {field.name for field in fields(Request) if getattr(asked, field.name) != getattr(filled, field.name)}
    names |= filled.extras.keys() - asked.extras.keys()
    return frozenset(names | REASONING_PARAMS if "reasoning" in names else names)


def _turns(request: Request, target: Target, report: Report) -> tuple[Message, ...]:
    own = own_thinking_only(request.messages, report)
    history = arrange(own, repair=target.repair_history, keep_system=target.profile.supports_system_in_messages)
    report.dropped(*history.dropped)
    report.emulated(*history.emulated)
    if not is_prefill(history.turns):
        return history.turns
    return (*history.turns[:-1], _without_trailing_space(history.turns[-1]))


def _without_trailing_space(turn: Message) -> Message:
    """Anthropic refuses a prefill that ends in whitespace; the model writes its own."""
    last = turn.parts[-1]
    return replace(turn, parts=(*turn.parts[:-1], replace(last, text=last.text.rstrip()))) if isinstance(last, Text) else turn


def _check_prefill(request: Request, target: Target, plan: Plan, report: Report) -> None:
    if not is_prefill(request.messages):
        return
    path = request.messages[-1].path or "messages"
    if not target.profile.supports_prefill:
        raise report.refusal(path, "the last message is the assistant's, and it does not go on from given words.")
    if plan.thinks:
        raise invalid("The last message is the assistant's: a thinking model cannot go on from given words.", path)


def _conversation(request: Request, report: Report) -> JsonObject:
    writer = BlockWriter(report)
    system = [writer.text(text) for text in request.system if text.text.strip()]
    messages = [writer.message(message) for message in request.messages]
    return {"system": system, "messages": messages} if system else {"messages": messages}


def _output_fields(request: Request, plan: Plan, output_format: JsonObject | None) -> JsonObject:
    output: JsonObject = output_extras(request)
    if plan.effort:
        output["effort"] = plan.effort
    if output_format:
        output["format"] = output_format
    fields: JsonObject = {"thinking": plan.config} if plan.config else {}
    return {**fields, "output_config": output} if output else fields
