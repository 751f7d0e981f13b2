"""What was said, as span attributes: only for a configuration that asks for it (`telemetry.record_content`).

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/#capturing-instructions-inputs-and-outputs. The client's
dialect is read into the neutral form, both ways, so every dialect is told alike. Bytes of media are left out, long texts are
cut, and of a long conversation the last messages are kept.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.core.request_trace import Conversation
from pllm.telemetry.log import crash_site
from pllm.wire.lane import WireRequest
from pllm.wire.lanes import client_wire, upstream_wire
from pllm.wire.neutral import (
    Audio,
    Document,
    End,
    Event,
    Failure,
    FileId,
    Finish,
    Image,
    Inline,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.sse import SseDecoder
from pllm.wire.translator import Encoded

MOST_CHARACTERS = 16_384
"""Of one text."""

MOST_BYTES = 262_144
"""Of one attribute."""

OMITTED = "pllm.content_omitted"

_FINISHES = {
    "stop": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
_MODALITIES = {Image: "image", Audio: "audio", Document: "document"}

Told = dict[str, Any]


def content_attributes(conversation: Conversation) -> dict[str, str]:
    """Empty where nothing was asked. What cannot be told is named in OMITTED; never raises."""
    if conversation.asked is None:
        return {}
    found: dict[str, str] = {}
    missing: list[str] = []
    for what, tell in (("input", _input), ("output", _output)):
        try:
            found |= tell(conversation, conversation.asked)
        except (GatewayError, ValueError):
            missing.append(f"{what}: it has no neutral form")
        except Exception as error:  # noqa: BLE001 - what is told of a request must not cost the other spans
            missing.append(f"{what}: {crash_site(error)}")
    return found | ({OMITTED: "; ".join(missing)} if missing else {})


def _input(conversation: Conversation, asked: JsonObject) -> dict[str, str]:
    request = client_wire(conversation.dialect).decode(asked)
    told = {"gen_ai.input.messages": _fitting([one for message in request.messages for one in _messages(message)])}
    if request.system:
        told["gen_ai.system_instructions"] = _fitting([_part(text) for text in request.system])
    return told


def _output(conversation: Conversation, asked: JsonObject) -> dict[str, str]:
    if not conversation.heard_bytes:
        return {}
    body = b"".join(conversation.answered)
    if not body:
        raise ValueError("the answer is too long")
    if conversation.dialect == "responses":
        messages = _response(conversation, asked)
    elif conversation.dialect == "completions":
        messages = _completions(body, streamed=conversation.streamed)
    else:
        messages = _choices(conversation, body)
    return {"gen_ai.output.messages": _fitting(messages)}


def _choices(conversation: Conversation, body: bytes) -> list[Told]:
    """Of a dialect that upstreams speak too: what the client was told, read as an upstream's answer."""
    from pllm.wire.folding import fold

    wire = upstream_wire(conversation.dialect)
    encoded = Encoded(WireRequest("", b"", "", conversation.streamed))
    if not conversation.streamed:
        answer, broken = wire.decode(body, encoded), frozenset[int]()
    else:
        decoder = wire.decoder(encoded)
        events, broken = _whole([*decoder.feed(body), *decoder.close()])
        answer = fold(events)
    return [
        {
            "role": "assistant",
            "parts": [_part(part) for part in choice.parts],
            "finish_reason": "error" if number in broken else _FINISHES[choice.finish],
        }
        for number, choice in enumerate(answer.choices)
    ]


def _whole(events: Iterable[Event]) -> tuple[list[Event], frozenset[int]]:
    """The events with an end for every choice, and the choices that had none: a broken stream is told as far as it came."""
    good = [event for event in events if not isinstance(event, Failure | End)]
    begun = {choice for event in good if isinstance(choice := getattr(event, "choice", None), int)}
    broken = frozenset(begun - {event.choice for event in good if isinstance(event, Finish)})
    return [*good, *(Finish("stop", choice=choice) for choice in broken), End()], broken


def _response(conversation: Conversation, asked: JsonObject) -> list[Told]:
    """A Responses object's output is what a next request would have as its input."""
    final = conversation.final() if conversation.final is not None else None
    if final is None:
        raise ValueError("the stream broke")
    output = final.get("output") or []
    if not output:
        return []
    turn = client_wire("responses").decode({"model": asked.get("model"), "input": output})
    parts = [_part(part) for message in turn.messages for part in message.parts]
    called = any(part["type"] == "tool_call" for part in parts)
    why = (final.get("incomplete_details") or {}).get("reason")
    reasons = {"max_output_tokens": "length", "content_filter": "content_filter"}
    finish = reasons.get(str(why), "tool_call" if called else "stop")
    return [{"role": "assistant", "parts": parts, "finish_reason": finish}]


def _completions(body: bytes, *, streamed: bool) -> list[Told]:
    frames = [event.data for event in SseDecoder().feed(body)] if streamed else [body]
    texts: dict[int, str] = {}
    finishes: dict[int, str] = {}
    for frame in frames:
        if frame is None or frame == b"[DONE]":
            continue
        for choice in loads(frame).get("choices") or []:
            number = choice.get("index") or 0
            texts[number] = texts.get(number, "") + (choice.get("text") or "")
            finishes[number] = choice.get("finish_reason") or finishes.get(number, "error")
    return [
        {"role": "assistant", "parts": [_text("text", text)], "finish_reason": finishes[number]}
        for number, text in sorted(texts.items())
    ]


def _messages(message: Message) -> list[Told]:
    """Results of tools are messages of their own in the conventions."""
    results: list[Part] = [part for part in message.parts if isinstance(part, ToolResult)]
    others: list[Part] = [part for part in message.parts if not isinstance(part, ToolResult)]
    told = [("tool", results), (message.role, others)]
    return [{"role": role, "parts": [_part(part) for part in parts]} for role, parts in told if parts]


def _part(part: Part) -> Told:
    match part:
        case Text(text):
            return _text("text", text)
        case Thinking(text):
            return _text("reasoning", text)
        case Refusal(text):
            return _text("refusal", text)
        case ToolCall(call_id, name, arguments):
            return {"type": "tool_call", "id": call_id, "name": name, "arguments": _json(arguments)}
        case ToolResult(call_id, content):
            return {"type": "tool_call_response", "id": call_id, "response": [_part(one) for one in content]}
        case Image() | Audio() | Document():
            return _media(part)
    return {"type": part.type}


def _media(part: Image | Audio | Document) -> Told:
    modality = _MODALITIES[type(part)]
    match part.source:
        case Url(url):
            return {"type": "uri", "modality": modality, "uri": _cut(url)}
        case FileId(file_id):
            return {"type": "file", "modality": modality, "file_id": file_id}
        case Inline(data, media_type):
            return {"type": "media", "modality": modality, "mime_type": media_type, "bytes": len(data)}


def _json(arguments: str) -> Any:
    """As a value where it is JSON and short."""
    try:
        return loads(arguments) if len(arguments) <= MOST_CHARACTERS else _cut(arguments)
    except JsonError:
        return arguments


def _text(kind: str, text: str) -> Told:
    return {"type": kind, "content": _cut(text)}


def _cut(text: str) -> str:
    more = len(text) - MOST_CHARACTERS
    return text if more <= 0 else f"{text[:MOST_CHARACTERS]} [{more} more characters]"


def _fitting(told: Sequence[Told]) -> str:
    """As JSON; of what is too long the first go."""
    pieces = [dumps(one) for one in told]
    size = sum(map(len, pieces))
    first = 0
    while size > MOST_BYTES and first < len(pieces):
        size -= len(pieces[first])
        first += 1
    return "[" + ",".join(piece.decode() for piece in pieces[first:]) + "]"
