"""Messages as Gemini's `contents`: roles user and model, function calls paired with responses by name and order."""

from collections.abc import Iterable, Sequence

from pllm.core.errors import invalid
from pllm.core.jsontext import Json, JsonError, JsonObject, loads
from pllm.wire.gemini.losses import Losses
from pllm.wire.gemini.media import media_part
from pllm.wire.history import arrange, is_prefill
from pllm.wire.lane import Target
from pllm.wire.neutral import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

ORIGIN = "gemini"

SKIP_VALIDATOR = "skip_thought_signature_validator"
"""Google's documented stand-in for the thought signature of a call that another model made (case 12)."""

# Models whose thinking is steered by a token budget, or that do not think, take calls without signatures.
_NO_SIGNATURE_NEEDED = frozenset({"budget", "none"})


def contents(request: Request, target: Target, losses: Losses) -> list[JsonObject]:
    """Raises GatewayError(400) for orphaned tool calls, foreign files, and a prefill the model does not take."""
    history = arrange(request.messages, repair=target.repair_history)
    losses.extend(history.dropped, history.emulated)
    if is_prefill(history.turns) and not target.profile.supports_prefill:
        what = (
            f"The last message is the assistant's, and {target.public_name!r} does not continue one. End with a user message."
        )
        raise invalid(what, history.turns[-1].path or "messages")
    turns = _Turns(target, losses)
    return [content for turn in history.turns if (content := turns.content(turn))["parts"]]


def system_instruction(system: Sequence[Text]) -> JsonObject | None:
    parts = [{"text": block.text} for block in system if block.text.strip()]
    return {"parts": parts} if parts else None


class _Turns:
    """Encodes turns in order; remembers the calls that the next turn answers."""

    def __init__(self, target: Target, losses: Losses) -> None:
        self._losses = losses
        self._ids = target.quirks.variant == "gemini"
        self._signed = target.profile.thinking not in _NO_SIGNATURE_NEEDED
        self._calls: dict[str, str] = {}

    def content(self, turn: Message) -> JsonObject:
        if turn.name:
            self._losses.drop(f"{turn.path or 'messages'}.name")
        if turn.role == "assistant":
            self._calls = {part.id: part.name for part in turn.parts if isinstance(part, ToolCall)}
            return {"role": "model", "parts": self._model_parts(turn)}
        return {"role": "user", "parts": self._user_parts(turn)}

    # --- what the model said ---

    def _model_parts(self, turn: Message) -> list[JsonObject]:
        parts: list[JsonObject] = []
        needs_signature = self._signed
        for part in turn.parts:
            if isinstance(part, Thinking):
                self._thought(parts, part)
            elif isinstance(part, ToolCall):
                parts.append(self._call(part, needs_signature, turn.path))
                needs_signature = False  # of parallel calls, the first alone carries one
            else:
                parts += self._any_part(part, turn.path)
        return parts

    def _thought(self, parts: list[JsonObject], part: Thinking) -> None:
        if part.origin != ORIGIN or not part.signature:
            if part.text or part.redacted:
                self._losses.drop("thinking")
        elif part.text:
            parts.append({"text": part.text, "thought": True, "thoughtSignature": part.signature})
        elif parts and "text" in parts[-1] and "thoughtSignature" not in parts[-1]:
            parts[-1]["thoughtSignature"] = part.signature
        else:
            parts.append({"text": "", "thoughtSignature": part.signature})

    def _call(self, call: ToolCall, needs_signature: bool, path: str) -> JsonObject:
        function_call: JsonObject = {"name": call.name, "args": _arguments(call, path)}
        if self._ids and not is_made_up(call.id):
            function_call["id"] = call.id
        part: JsonObject = {"functionCall": function_call}
        if call.signature and call.origin == ORIGIN:
            part["thoughtSignature"] = call.signature
        elif needs_signature:
            part["thoughtSignature"] = SKIP_VALIDATOR
        return part

    # --- what the user said ---

    def _user_parts(self, turn: Message) -> list[JsonObject]:
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        order = {call_id: position for position, call_id in enumerate(self._calls)}
        results.sort(key=lambda result: order.get(result.call_id, len(order)))
        parts = [self._result(result, turn.path) for result in results]
        parts += [shown for result in results for shown in self._shown(result, turn.path)]
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                parts += self._any_part(part, turn.path)
        return parts

    def _result(self, result: ToolResult, path: str) -> JsonObject:
        name = self._calls.get(result.call_id) or result.name
        if not name:
            raise invalid(f"{path} holds a tool result whose call {result.call_id!r} is not in the conversation.", path)
        response: JsonObject = {"name": name, "response": _outcome(result)}
        if self._ids and not is_made_up(result.call_id):
            response["id"] = result.call_id
        return {"functionResponse": response}

    def _shown(self, result: ToolResult, path: str) -> list[JsonObject]:
        """Media of a result. It follows the results, with words that say whose it is: every Gemini takes that, whereas
        media inside functionResponse is for Gemini 3 alone."""
        media = [part for part in result.content if isinstance(part, Image | Document)]
        if not media:
            return []
        name = self._calls.get(result.call_id) or result.name
        return [{"text": f"Returned by {name}:"}, *(media_part(part, path) for part in media)]

    # --- either ---

    def _any_part(self, part: Part, path: str) -> Iterable[JsonObject]:
        match part:
            case Text(text, _, citations):
                if citations:
                    self._losses.drop("citations")
                return [{"text": text}]
            case Refusal(text):
                return [{"text": text}] if text.strip() else []
            case Image() | Audio() | Document():
                self._note_hints(part)
                return [media_part(part, path)]
            case Opaque(dialect, _, raw) if dialect == ORIGIN:
                return [dict(raw)]
            case Opaque(dialect, kind):
                self._losses.refuse(
                    f"{path or 'messages'}.{kind}", f"a block of this kind exists in the {dialect} dialect only"
                )
        return []

    def _note_hints(self, part: Image | Audio | Document) -> None:
        if isinstance(part, Image) and part.detail not in (None, "auto"):
            self._losses.drop("image_url.detail")
        if isinstance(part, Document) and part.citations:
            self._losses.refuse("citations", "Gemini cites no passages of documents")


MADE_UP_PREFIX = "gem-"


def made_up_id(response_id: str, choice: int, ordinal: int) -> str:
    """An id for a call that Gemini gave none: the same for the same place in the same answer, unique across answers.
    Letters, digits, - and _ only, at most 40 characters: it fits every provider that may be shown this history."""
    seed = "".join(character for character in response_id if character.isascii() and (character.isalnum() or character in "-_"))
    return f"{MADE_UP_PREFIX}{seed[:24]}-{choice}-{ordinal}"


def is_made_up(call_id: str) -> bool:
    return call_id.startswith(MADE_UP_PREFIX)


def _arguments(call: ToolCall, path: str) -> JsonObject:
    try:
        arguments = loads(call.arguments or "{}")
    except JsonError as error:
        raise _bad_arguments(call, path, str(error)) from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise _bad_arguments(call, path, "it is not an object")
    return arguments


def _bad_arguments(call: ToolCall, path: str, why: str) -> Exception:
    where = path or "messages"
    return invalid(f"{where}: the arguments of the call {call.id!r} ({call.name}) are not a JSON object: {why}.", where)


def _outcome(result: ToolResult) -> JsonObject:
    """Gemini wants an object. A result that is one is sent as such; other text under the documented names."""
    text = "\n".join(part.text for part in result.content if isinstance(part, Text))
    if result.is_error:
        return {"error": text}
    value = _parsed(text)
    return value if isinstance(value, dict) else {"output": text}


def _parsed(text: str) -> Json:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return loads(text)
    except JsonError:
        return None
