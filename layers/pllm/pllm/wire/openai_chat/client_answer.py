"""A neutral answer as a ChatCompletion, and the vocabulary that its stream shares with it.

Beyond OpenAI's fields: `reasoning_content` is the text of the model's thinking; `thinking_blocks` are the thinking blocks that
carry a proof and must come back with the history; `provider_blocks` are blocks that only another dialect has words for;
`tool_calls[].extra_content.google.thought_signature` is Gemini's proof.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import (
    Choice,
    Citation,
    FinishReason,
    Opaque,
    Part,
    Refusal,
    Request,
    Response,
    Text,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from pllm.wire.openai_chat.usage import usage_json

P = TypeVar("P")

# pause: Anthropic stopped its own long turn, which is to be sent back to go on: it is no complete answer, like a length stop.
_FINISH: Mapping[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "length",
}

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


def encode_answer(response: Response, request: Request, context: AnswerContext) -> bytes:
    """The JSON body of a ChatCompletion."""
    legacy = bool(request.echo.get("functions"))
    choices = [_choice(number, choice, legacy, context) for number, choice in enumerate(response.choices)]
    answer: JsonObject = {
        "id": response.id or f"chatcmpl-{context.id_seed}",
        "object": "chat.completion",
        "created": context.created_s if response.created_s is None else response.created_s,
        "model": context.model,
        "choices": choices,
        "usage": None if response.usage is None else usage_json(response.usage),
        **about(response.service_tier, response.system_fingerprint),
    }
    return dumps(answer)


def about(tier: str | None, fingerprint: str | None) -> JsonObject:
    """The optional fields of an answer's frame. A tier that OpenAI has no word for is left out."""
    tier = "default" if tier == "standard" else tier
    told: JsonObject = {"service_tier": tier} if tier in _TIERS else {}
    return {**told, "system_fingerprint": fingerprint} if fingerprint else told


def finish_reason(reason: FinishReason, called: bool, legacy: bool) -> str:
    """OpenAI's word (case 13). A turn that calls tools is one, also where the provider says it merely stopped."""
    if called and reason in ("stop", "tool_calls"):
        return "function_call" if legacy else "tool_calls"
    return "stop" if reason == "tool_calls" else _FINISH[reason]


def call_id(given: str, choice: int, ordinal: int, context: AnswerContext) -> str:
    """The provider's id, or one of our own where it gives none (Gemini): the same in a stream and in a buffered answer."""
    return given or f"call_{context.id_seed}_{choice}_{ordinal}"


def extra_content(signature: str | None) -> JsonObject:
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def thinking_block(part: Thinking | ThinkingDelta, text: str) -> JsonObject:
    """A block with its proof, to be sent back as it is (case 10)."""
    block: JsonObject = {"type": "thinking", "thinking": text, "signature": part.signature}
    if part.redacted is not None:
        block = {"type": "redacted_thinking", "data": part.redacted, **({"thinking": text} if text else {})}
    if part.origin and part.origin != "anthropic":
        block["origin"] = part.origin
    return {**block, "id": part.id} if part.id else block


def provider_block(block: Opaque) -> JsonObject:
    return {"dialect": block.dialect, "type": block.type, "block": dict(block.raw)}


def annotation(citation: Citation, start: int, end: int) -> JsonObject | None:
    """OpenAI's url_citation; None for a citation of something without an address. `start`, `end`: the cited text's place,
    where the provider does not say."""
    if citation.url is None:
        return None
    told = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": start if citation.start is None else citation.start,
        "end_index": end if citation.end is None else citation.end,
    }
    return {"type": "url_citation", "url_citation": told}


def document_citation(citation: Citation) -> JsonObject:
    """A citation without an address, beside the annotations because OpenAI's are addresses only."""
    told = {"title": citation.title, "quote": citation.quote, "start": citation.start, "end": citation.end}
    raw = dict(citation.raw) if citation.raw is not None else None
    return {name: value for name, value in {**told, "raw": raw}.items() if value is not None}


def _choice(number: int, choice: Choice, legacy: bool, context: AnswerContext) -> JsonObject:
    message = _message(choice.parts, number, legacy, context)
    called = "tool_calls" in message or "function_call" in message
    return {
        "index": number,
        "message": message,
        "logprobs": None if choice.logprobs is None else dict(choice.logprobs),
        "finish_reason": finish_reason(choice.finish, called, legacy),
    }


def _message(parts: Sequence[Part], number: int, legacy: bool, context: AnswerContext) -> JsonObject:
    texts, refusals, thoughts = _of(Text, parts), _of(Refusal, parts), _of(Thinking, parts)
    content = "".join(part.text for part in texts) if texts else None
    message: JsonObject = {"role": "assistant", "content": content, "refusal": "".join(r.text for r in refusals) or None}
    if reasoning := "".join(part.text for part in thoughts):
        message["reasoning_content"] = reasoning
    if proofs := [thinking_block(t, t.text) for t in thoughts if t.signature is not None or t.redacted is not None]:
        message["thinking_blocks"] = proofs
    _cite(message, texts)
    calls = _calls(parts, number, context)
    if calls and legacy:
        message["function_call"] = calls[0].get("function")
    elif calls:
        message["tool_calls"] = calls
    for block in _of(Opaque, parts):
        if block.dialect == "chat" and block.type == "audio":
            message["audio"] = dict(block.raw)
        elif not is_call(block):
            message.setdefault("provider_blocks", []).append(provider_block(block))
    return message


def is_call(block: Opaque) -> bool:
    return block.dialect == "chat" and block.type == "custom_tool_call"


def _calls(parts: Sequence[Part], number: int, context: AnswerContext) -> list[JsonObject]:
    calls: list[JsonObject] = []
    for part in parts:
        if isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            made = call_id(part.id, number, len(calls), context)
            calls.append({"id": made, "type": "function", "function": function, **extra_content(part.signature)})
        elif isinstance(part, Opaque) and is_call(part):
            calls.append(dict(part.raw))
    return calls


def _cite(message: JsonObject, texts: Sequence[Text]) -> None:
    position = 0
    for part in texts:
        for citation in part.citations:
            told = annotation(citation, position, position + len(part.text))
            if told is not None:
                message.setdefault("annotations", []).append(told)
            else:
                message.setdefault("citations", []).append(document_citation(citation))
        position += len(part.text)


def _of(kind: type[P], parts: Sequence[Any]) -> list[P]:
    return [part for part in parts if isinstance(part, kind)]
