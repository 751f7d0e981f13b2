"""A neutral answer, to a Messages answer for the client."""

from collections.abc import Iterable

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.anthropic_messages.seal import Sealed, seal
from pllm.wire.anthropic_messages.vocabulary import (
    DIALECT,
    ORIGIN,
    cache_split,
    ending,
    tier_field,
    usage_fields,
    write_citation,
)
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import Choice, Opaque, Part, Refusal, Response, Text, Thinking, ToolCall, Usage


def encode_answer(response: Response, context: AnswerContext) -> bytes:
    """One message. Raises GatewayError(UPSTREAM_PROTOCOL) for a tool call whose arguments are not a JSON object."""
    choice = response.choices[0] if response.choices else Choice((), "stop")
    usage = response.usage or Usage()
    message = message_head(response.id, context)
    message["content"] = list(_blocks(choice))
    message.update(ending(choice))
    message["usage"] = {**usage_fields(usage), **cache_split(usage), **tier_field(response.service_tier)}
    return dumps(message)


def message_head(provider_id: str, context: AnswerContext) -> JsonObject:
    """What every message begins with. An id in Anthropic's form is kept, another provider's is replaced."""
    message_id = provider_id if provider_id.startswith("msg_") else f"msg_{context.id_seed}"
    return {"id": message_id, "type": "message", "role": "assistant", "model": context.model}


def _blocks(choice: Choice) -> Iterable[JsonObject]:
    for part in choice.parts:
        if isinstance(part, ToolCall):
            if part.signature:
                yield call_signature_block(part.signature, part.origin)
            yield _tool_use(part, choice)
        elif (block := _block(part)) is not None:
            yield block


def _block(part: Part) -> JsonObject | None:
    match part:
        case Text(text, _, citations):
            block: JsonObject = {"type": "text", "text": text}
            if citations:
                block["citations"] = [write_citation(citation) for citation in citations]
            return block
        case Thinking():
            if part.redacted is not None and is_redacted_block(part.text, part.origin):
                return {"type": "redacted_thinking", "data": part.redacted}
            signature = carried_signature(part.origin, part.signature, part.redacted, part.id)
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case Opaque(dialect, _, raw):
            # What a provider's own tool did has no form in another dialect; its words stand beside it.
            return dict(raw) if dialect == DIALECT else None
        case Refusal():
            return None
        case _:
            raise malformed_upstream(f"a model does not answer with {type(part).__name__}")


def _tool_use(call: ToolCall, choice: Choice) -> JsonObject:
    try:
        arguments = loads(call.arguments or "{}")
    except JsonError:
        arguments = None
    if not isinstance(arguments, dict):
        if choice.finish != "length":
            raise malformed_upstream(f"the arguments of tool call {call.id!r} ({call.name}) are not a JSON object")
        # Cut off by the token cap: stop_reason max_tokens tells the client that the call is not whole.
        arguments = {}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def is_redacted_block(text: str, origin: str) -> bool:
    """Anthropic's own encrypted thinking has a block of its own; another provider's travels sealed in a signature."""
    return not text and origin in (ORIGIN, "")


def carried_signature(origin: str, signature: str | None, redacted: str | None, item_id: str | None) -> str:
    """What the block's `signature` holds: Anthropic's as it is, anyone else's sealed, empty where there is no proof."""
    if redacted is not None:
        return seal(Sealed("redacted", origin or ORIGIN, redacted, item_id))
    if not signature:
        return ""
    return signature if origin in (ORIGIN, "") else seal(Sealed("signature", origin, signature, item_id))


def call_signature_block(signature: str, origin: str) -> JsonObject:
    """An empty thinking block before a tool_use, carrying the signature that another provider gave the call (case 12)."""
    return {"type": "thinking", "thinking": "", "signature": seal(Sealed("call", origin or "gemini", signature))}
