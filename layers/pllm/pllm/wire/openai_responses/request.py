"""A Responses request, read into the neutral form. Every field has a neutral meaning, is the gateway's own affair, lands in
`extras` under its own name, or is a 400: none is lost."""

from typing import Any

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.fields import boolean, count, mapping, number, optional, positive, required, string
from pllm.wire.neutral import Request, Text
from pllm.wire.openai_responses.history import RESOLVED, refuse_unresolved
from pllm.wire.openai_responses.items import read_input
from pllm.wire.openai_responses.options import read_format, read_reasoning, read_tool_choice, read_tools, wants_logprobs

_READ = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "include",
        "reasoning",
        "text",
        "metadata",
        "user",
        "service_tier",
        "stream",
    }
)
_OWN = frozenset(
    {"store", "background", "previous_response_id", "conversation", "prompt", "truncation", "stream_options", RESOLVED}
)
"""What the gateway answers for itself, whatever the upstream."""

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    RESOLVED,
)


def read_request(body: JsonObject) -> Request:
    """Raises GatewayError(400) with the dotted path of what is wrong."""
    refuse_background(body)
    refuse_unresolved(body)
    _refuse_held_elsewhere(body)
    if body.get("input") in (None, []):
        raise invalid("'input' is required: a string or a non-empty list of items.", "input")
    conversation = read_input(body["input"])
    instructions = optional(body, "instructions", string)
    text = optional(body, "text", mapping) or {}
    reasoning, reasoning_extras = read_reasoning(body.get("reasoning"))
    tools = read_tools(body.get("tools"))
    top_logprobs = optional(body, "top_logprobs", count)
    return Request(
        model=required(body, "model", string),
        messages=conversation.messages,
        system=(*((Text(instructions),) if instructions else ()), *conversation.system),
        tools=tools,
        tool_choice=read_tool_choice(body.get("tool_choice"), tools),
        parallel_tool_calls=optional(body, "parallel_tool_calls", boolean),
        max_tokens=optional(body, "max_output_tokens", positive),
        temperature=optional(body, "temperature", number),
        top_p=optional(body, "top_p", number),
        logprobs=True if wants_logprobs(body.get("include")) or top_logprobs else None,
        top_logprobs=top_logprobs or None,
        reasoning=reasoning,
        response_format=read_format(text.get("format")),
        verbosity=optional(text, "verbosity", string, "text"),
        service_tier=optional(body, "service_tier", string),
        user=optional(body, "user", string),
        metadata=optional(body, "metadata", mapping),
        stream=optional(body, "stream", boolean) or False,
        include_usage=True,
        dialect="responses",
        extras={**_extras(body, text), **reasoning_extras},
        echo={name: body[name] for name in _ECHOED if body.get(name) is not None},
    )


def refuse_background(body: JsonObject) -> None:
    """Raises a 400 for a request that wants to be answered later: nobody is left to do the work after the response."""
    if optional(body, "background", boolean):
        raise GatewayError(
            ErrorKind.UNSUPPORTED_PARAMETER,
            "'background: true' is not supported by this gateway. Use 'stream: true' for long answers.",
            param="background",
        )


def _refuse_held_elsewhere(body: JsonObject) -> None:
    for name, what in (("conversation", "conversation"), ("prompt", "prompt template")):
        if body.get(name) is not None:
            raise GatewayError(
                ErrorKind.UNSUPPORTED_PARAMETER,
                f"'{name}' refers to a {what} kept at OpenAI, which this model's provider cannot see. Send its content in "
                "'input' and 'instructions'.",
                param=name,
            )


def _extras(body: JsonObject, text: JsonObject) -> dict[str, Any]:
    extras = {name: value for name, value in body.items() if value is not None and name not in _READ | _OWN}
    optional(body, "store", boolean)
    truncation = optional(body, "truncation", string)
    if truncation not in (None, "disabled"):
        extras["truncation"] = truncation
    for name, value in (optional(body, "stream_options", mapping) or {}).items():
        if value not in (None, False):
            extras[f"stream_options.{name}"] = value
    for name, value in text.items():
        if name not in ("format", "verbosity") and value is not None:
            extras[f"text.{name}"] = value
    return extras
