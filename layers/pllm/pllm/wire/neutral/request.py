"""What a client asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pllm.wire.dialect import ClientDialect
from pllm.wire.neutral.parts import CacheMark, Message, Text


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `parameters` is a JSON Schema; None means none was given.
    Provider-side tools (web search, computer use, ...) travel as `raw` with their `dialect`."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache: CacheMark | None = None
    dialect: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode` "required" means any tool must be called, "named" that `name` must. `allowed` narrows the tools (case 7)."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How hard to think. At most one of `effort` and `budget_tokens` comes from one client; `enabled=False` asks for none.

    effort: none, minimal, low, medium, high, xhigh or max, as the client said. `budget_tokens` is Anthropic's.
    `adaptive` is Anthropic's thinking.type "adaptive". `summary` is Responses' (auto, concise, detailed).
    """

    enabled: bool | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    summary: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    kind: Literal["text", "json_object", "json_schema"]
    schema: Mapping[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One generation request. `system` holds the *leading* system and developer content (case 8); a later one stays in
    `messages` with role "system".

    `extras` are request fields with no neutral form, under the client's own spelling. An upstream wire passes on those its
    dialect has under the same meaning, and reports every other one as unsupported (case 23): none is silently lost.
    `echo` is what only the client's own wire needs to shape the answer (Responses repeats the request's settings, legacy
    Completions its prompt). Upstream wires never read it.
    """

    model: str
    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning: Reasoning | None = None
    response_format: ResponseFormat | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    dialect: ClientDialect = "chat"
    extras: Mapping[str, Any] = field(default_factory=dict)
    echo: Mapping[str, Any] = field(default_factory=dict)
