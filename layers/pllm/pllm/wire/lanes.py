"""Where the wires are, and which of them needs no translation.

The only module that knows every wire. Wires are imported when first needed: a gateway that speaks one dialect does not pay
for the others at cold start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from pllm.core.jsontext import JsonObject
from pllm.wire.lane import Lane, Target

if TYPE_CHECKING:
    from pllm.wire.translator import ClientWire, UpstreamWire

_WIRES = {
    "chat": "pllm.wire.openai_chat",
    "completions": "pllm.wire.openai_completions",
    "messages": "pllm.wire.anthropic_messages",
    "responses": "pllm.wire.openai_responses",
    "converse": "pllm.wire.bedrock_converse",
    "gemini": "pllm.wire.gemini",
}

_NATIVE = {"chat": "ChatLane", "completions": "CompletionsLane", "messages": "MessagesLane", "responses": "ResponsesLane"}


def client_wire(dialect: str) -> "ClientWire":
    return cast("ClientWire", import_module(_WIRES[dialect]).client)


def upstream_wire(dialect: str) -> "UpstreamWire":
    return cast("UpstreamWire", import_module(_WIRES[dialect]).upstream)


def native_lane(dialect: str, body: JsonObject, target: Target) -> Lane:
    """The same-dialect lane: the client's bytes, edited. Raises GatewayError(400) for what the gateway itself must know."""
    return cast("Lane", getattr(import_module(_WIRES[dialect]), _NATIVE[dialect])(body, target))


def native_suffices(dialect: str, body: JsonObject, target: Target) -> bool:
    """Whether the same-dialect lane can serve this request: not where something must be imitated (translation case 19)."""
    if dialect != "chat":
        return True
    from pllm.wire.openai_chat.edit import needs_translation  # loaded by those who speak it

    return not needs_translation(body, target)
