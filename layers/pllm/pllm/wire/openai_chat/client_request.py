"""A Chat Completions body as a neutral request."""

from collections.abc import Callable, Mapping
from typing import Any

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import boolean, count, kind, mapping, number, optional, positive, required, sequence, string
from pllm.wire.neutral import Reasoning, Request, ResponseFormat
from pllm.wire.openai_chat.client_messages import Conversation
from pllm.wire.openai_chat.client_tools import read_choice, read_tools

_READ = frozenset(
    {
        "model",
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "stream",
        "stream_options",
    }
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "n", "seed", "presence_penalty"}
    | {"frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort", "reasoning", "thinking"}
    | {"response_format", "verbosity", "service_tier", "user", "metadata"}
)

_SAYS_NOTHING: Mapping[str, Json] = {"modalities": ["text"], "store": False}
"""Extras at the value they have unasked."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def decode_request(body: JsonObject) -> Request:
    """Raises GatewayError(400) with the dotted path of what is wrong."""
    conversation = Conversation().read(required(body, "messages", sequence))
    tools, legacy = read_tools(body)
    options = optional(body, "stream_options", mapping) or {}
    return Request(
        model=required(body, "model", string),
        messages=tuple(conversation.messages),
        system=conversation.system,
        tools=tools,
        tool_choice=read_choice(body, tools),
        parallel_tool_calls=optional(body, "parallel_tool_calls", boolean) if tools else None,
        max_tokens=_cap(body),
        temperature=optional(body, "temperature", _between(0, 2)),
        top_p=optional(body, "top_p", _between(0, 1)),
        top_k=optional(body, "top_k", count),
        stop=_stop(body.get("stop")),
        n=optional(body, "n", positive) or 1,
        seed=optional(body, "seed", _whole),
        presence_penalty=optional(body, "presence_penalty", _between(-2, 2)),
        frequency_penalty=optional(body, "frequency_penalty", _between(-2, 2)),
        logit_bias=optional(body, "logit_bias", _bias) or None,
        logprobs=optional(body, "logprobs", boolean) or None,
        top_logprobs=optional(body, "top_logprobs", count),
        reasoning=_reasoning(body),
        response_format=_response_format(optional(body, "response_format", mapping)),
        verbosity=optional(body, "verbosity", string),
        service_tier=optional(body, "service_tier", _tier),
        user=optional(body, "user", string),
        metadata=optional(body, "metadata", mapping) or None,
        stream=optional(body, "stream", boolean) or False,
        include_usage=optional(options, "include_usage", boolean, "stream_options") or False,
        dialect="chat",
        extras=_extras(body, options),
        echo={"functions": True} if legacy else {},
    )


def _extras(body: JsonObject, options: JsonObject) -> JsonObject:
    extras = {name: value for name, value in body.items() if name not in _READ and value is not None}
    if left := {name: value for name, value in options.items() if name != "include_usage" and value}:
        extras["stream_options"] = left
    return {name: value for name, value in extras.items() if name not in _SAYS_NOTHING or value != _SAYS_NOTHING[name]}


def _cap(body: JsonObject) -> int | None:
    new = optional(body, "max_completion_tokens", positive)
    old = optional(body, "max_tokens", positive)
    if new is not None and old is not None and new != old:
        raise invalid("'max_tokens' and 'max_completion_tokens' contradict each other; set one.", "max_completion_tokens")
    return old if new is None else new


def _stop(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else sequence(value, "stop")
    stops = tuple(string(item, f"stop[{i}]") for i, item in enumerate(listed))
    if "" in stops:
        raise invalid("'stop' must not hold an empty string.", "stop")
    return stops


def _between(low: float, high: float) -> Callable[[Json, str], float]:
    def read(value: Json, path: str) -> float:
        if not low <= number(value, path) <= high:
            raise invalid(f"'{path}' must be between {low:g} and {high:g}, not {value}.", path)
        return float(value) if isinstance(value, float) else int(value)

    return read


def _whole(value: Json, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"'{path}' must be a whole number, not {kind(value)}.", path)
    return value


def _bias(value: Json, path: str) -> dict[str, float]:
    return {token: number(bias, f"{path}.{token}") for token, bias in mapping(value, path).items()}


def _tier(value: Json, path: str) -> str | None:
    """ "auto" is what happens unasked."""
    return None if string(value, path) == "auto" else string(value, path)


def _reasoning(body: JsonObject) -> Reasoning | None:
    """`reasoning_effort`, or what the wider world sends beside it: OpenRouter's `reasoning`, Anthropic's `thinking`."""
    if (effort := optional(body, "reasoning_effort", _effort)) is not None:
        return Reasoning(effort=effort)
    if (told := optional(body, "reasoning", mapping)) is not None:
        return Reasoning(
            enabled=optional(told, "enabled", boolean, "reasoning"),
            effort=optional(told, "effort", _effort, "reasoning"),
            budget_tokens=optional(told, "max_tokens", positive, "reasoning"),
        )
    if (thinking := optional(body, "thinking", mapping)) is not None:
        return _thinking(thinking)
    return None


def _thinking(thinking: JsonObject) -> Reasoning:
    match thinking.get("type"):
        case "enabled":
            return Reasoning(enabled=True, budget_tokens=optional(thinking, "budget_tokens", positive, "thinking"))
        case "adaptive":
            return Reasoning(enabled=True, adaptive=True)
        case "disabled":
            return Reasoning(enabled=False)
        case _:
            raise invalid("'thinking.type' must be enabled, adaptive or disabled.", "thinking.type")


def _effort(value: Json, path: str) -> str:
    if value not in _EFFORTS:
        raise invalid(f"'{path}' must be one of {', '.join(_EFFORTS)}, not {value!r}.", path)
    return str(value)


def _response_format(told: JsonObject | None) -> ResponseFormat | None:
    if told is None:
        return None
    path = "response_format"
    match required(told, "type", string, path):
        case "text":
            return ResponseFormat("text")
        case "json_object":
            return ResponseFormat("json_object")
        case "json_schema":
            return _json_schema(required(told, "json_schema", mapping, path), f"{path}.json_schema")
        case other:
            raise invalid(f"'{path}.type' must be text, json_object or json_schema, not {other!r}.", f"{path}.type")


def _json_schema(spec: JsonObject, path: str) -> ResponseFormat:
    schema: Mapping[str, Any] = required(spec, "schema", mapping, path)
    return ResponseFormat(
        "json_schema",
        schema,
        required(spec, "name", string, path),
        optional(spec, "description", string, path),
        optional(spec, "strict", boolean, path),
    )
