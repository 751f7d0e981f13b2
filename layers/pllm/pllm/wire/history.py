"""What strict providers demand of a conversation, as pure functions over the neutral form.

OpenAI takes almost any sequence of messages. Anthropic, Bedrock and Gemini want turns that alternate, begin with the user,
hold no empty text, and answer every tool call in the very next user turn. `arrange` does it all in the right order; the
steps stand alone for a wire that needs only some. Each step reports what it changed: nothing is mended silently.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pllm.core.errors import GatewayError, invalid
from pllm.wire.neutral import (
    CacheMark,
    Document,
    Image,
    Message,
    Part,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

Markable = Text | Image | Document | ToolCall | ToolResult
"""The parts that can carry a cache mark."""

PLACEHOLDER_TURN = "(start of conversation)"
"""The user's words before a conversation that begins with the assistant, or that holds nothing but system content."""

STUB_RESULT = "(no result was recorded for this tool call)"
"""The result given to an orphaned tool call when history is repaired."""


@dataclass(frozen=True, slots=True)
class History:
    """Turns a strict provider accepts, with what was lost (`dropped`) or made up (`emulated`) on the way there.

    The entries are request paths ("messages[3]") or "tool_result:<call id>", fit for the response headers.
    """

    turns: tuple[Message, ...]
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()


def arrange(messages: Sequence[Message], *, repair: bool = False, keep_system: bool = False) -> History:
    """Every step below: system messages placed, empty text gone, roles merged, results first, tools paired, user first.

    `keep_system` leaves mid-conversation system messages as they are, for providers that take the role there.
    `repair` mends orphaned calls and results; without it they raise GatewayError(400).
    """
    placed, emulated = (tuple(messages), ()) if keep_system else place_system(messages)
    paired = pair_tools(merge_turns(without_empty_text(placed)), repair=repair)
    opened = start_with_user(paired.turns)
    return History(opened.turns, paired.dropped, (*emulated, *paired.emulated, *opened.emulated))


def place_system(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """Later system messages as user turns in the same place, marked as the system's words (case 8).

    Moving them to the front would change what the model had been told when it answered the turns before.
    """
    placed: list[Message] = []
    changed: list[str] = []
    for message in messages:
        if message.role != "system":
            placed.append(message)
            continue
        parts = tuple(_as_system_words(part) for part in message.parts)
        placed.append(replace(message, role="user", parts=parts))
        changed.append(f"{message.path or 'messages'}.role")
    return tuple(placed), tuple(changed)


def _as_system_words(part: Part) -> Part:
    if isinstance(part, Text) and part.text.strip():
        return replace(part, text=f"<system>\n{part.text}\n</system>")
    return part


def without_empty_text(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Providers refuse empty and whitespace-only text; they say nothing, so they go. A message left with nothing goes too.

    A cache mark on such a text moves to the part before it: the cached prompt is the same.
    """
    kept = (replace(message, parts=_spoken(message.parts)) for message in messages)
    return tuple(message for message in kept if message.parts)


def _spoken(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and not part.text.strip():
            if part.cache is not None and kept:
                kept[-1] = _marked(kept[-1], part.cache)
            continue
        kept.append(part)
    return tuple(kept)


def _marked(part: Part, mark: CacheMark) -> Part:
    return replace(part, cache=mark) if isinstance(part, Markable) and part.cache is None else part


def merge_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Consecutive messages of one role as one, in order; in user turns, tool results before everything else (case 3, 9)."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = replace(merged[-1], parts=(*merged[-1].parts, *message.parts))
        else:
            merged.append(message)
    return tuple(_results_first(turn) for turn in merged)


def _results_first(turn: Message) -> Message:
    if turn.role != "user":
        return turn
    results = tuple(part for part in turn.parts if isinstance(part, ToolResult))
    others = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    return replace(turn, parts=(*results, *others))


# --- Tool calls and their results ---------------------------------------------------------------------------------


def pair_tools(turns: Sequence[Message], *, repair: bool = False) -> History:
    """Each tool call answered in the next user turn, each result an answer to the turn before (case 5).

    Expects merged turns. Without `repair` an orphan raises GatewayError(400); with it a call gets a stub result marked as
    an error, and a result without a call (or a second one for the same call) is dropped.
    """
    paired: list[Message] = []
    dropped: list[str] = []
    emulated: list[str] = []
    calls = _OpenCalls()
    for turn in turns:
        if turn.role == "user":
            answered, orphans = _answers(turn, calls.by_id)
            missing = calls.missing(answered)
            if not repair:
                _refuse_orphans(turn, orphans, calls.path, missing)
            turn = _answer_missing(_without(turn, orphans), missing)
            dropped += [f"tool_result:{result.call_id}" for result in orphans]
            emulated += [f"tool_result:{call.id}" for call in missing]
            calls = _OpenCalls()
        elif turn.role == "assistant":
            emulated += _close(paired, calls, repair)
            calls = _OpenCalls(turn, len(paired))
        if turn.parts:
            paired.append(turn)
    emulated += _close(paired, calls, repair)
    return History(merge_turns(paired), tuple(dropped), tuple(emulated))


class _OpenCalls:
    """The calls of the latest assistant turn, which stands at `position` of the history being built."""

    def __init__(self, turn: Message | None = None, position: int = 0) -> None:
        self.by_id = {part.id: part for part in turn.parts if isinstance(part, ToolCall)} if turn else {}
        self.path = turn.path if turn else ""
        self.position = position

    def missing(self, answered: set[str]) -> list[ToolCall]:
        return [call for call_id, call in self.by_id.items() if call_id not in answered]


def _answers(turn: Message, calls: dict[str, ToolCall]) -> tuple[set[str], list[ToolResult]]:
    answered: set[str] = set()
    orphans: list[ToolResult] = []
    for part in turn.parts:
        if not isinstance(part, ToolResult):
            continue
        if part.call_id in calls and part.call_id not in answered:
            answered.add(part.call_id)
        else:
            orphans.append(part)
    return answered, orphans


def _refuse_orphans(turn: Message, orphans: list[ToolResult], caller_path: str, missing: list[ToolCall]) -> None:
    if orphans:
        raise _orphan(
            f"The tool result for call {orphans[0].call_id!r} answers no tool call of the assistant message before it, "
            "or answers it twice.",
            turn.path,
        )
    if missing:
        raise _orphan(_unanswered(missing[0]), caller_path)


def _unanswered(call: ToolCall) -> str:
    return f"The tool call {call.id!r} ({call.name}) has no tool result in the message that follows it."


def _orphan(what: str, path: str) -> GatewayError:
    hint = " Send the pair together, or have histories repaired by the gateway's configuration."
    return invalid(what + hint, path or "messages")


def _without(turn: Message, orphans: list[ToolResult]) -> Message:
    gone = {id(orphan) for orphan in orphans}
    return replace(turn, parts=tuple(part for part in turn.parts if id(part) not in gone)) if gone else turn


def _answer_missing(turn: Message, missing: list[ToolCall]) -> Message:
    if not missing:
        return turn
    stubs = tuple(ToolResult(call.id, (Text(STUB_RESULT),), is_error=True, name=call.name) for call in missing)
    return _results_first(replace(turn, parts=(*turn.parts, *stubs)))


def _close(paired: list[Message], calls: _OpenCalls, repair: bool) -> list[str]:
    """Calls that no user turn followed: the history ends, or the assistant speaks again behind a system message."""
    missing = calls.missing(set())
    if not missing:
        return []
    if not repair:
        raise _orphan(_unanswered(missing[0]), calls.path)
    paired.insert(calls.position + 1, _answer_missing(Message("user", (), calls.path), missing))
    return [f"tool_result:{call.id}" for call in missing]


def tools_from_history(messages: Iterable[Message]) -> tuple[Tool, ...]:
    """Minimal specifications of the tools that were called, for a request that names none although its history needs them
    (case 6). In order of first call."""
    names: dict[str, None] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall | ToolResult) and part.name:
                names.setdefault(part.name)
    schema = {"type": "object", "properties": {}}
    return tuple(Tool(name, "A tool used earlier in this conversation.", schema) for name in names)


def has_tool_blocks(messages: Iterable[Message]) -> bool:
    """Whether any message holds a tool call or a tool result."""
    return any(isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts)


def allowed_tools(tools: Sequence[Tool], choice: ToolChoice | None) -> tuple[Tool, ...]:
    """The tools that `choice.allowed` leaves (case 7). Raises GatewayError(400) when it names one that was not offered."""
    if choice is None or choice.allowed is None:
        return tuple(tools)
    offered = {tool.name for tool in tools}
    for name in choice.allowed:
        if name not in offered:
            raise invalid(f"'allowed_tools' names {name!r}, which is not among 'tools'.", "tool_choice.tools")
    return tuple(tool for tool in tools if tool.name in choice.allowed)


# --- First and last turns -----------------------------------------------------------------------------------------


def start_with_user(turns: Sequence[Message]) -> History:
    """A placeholder before a conversation that does not begin with a user turn, reported as emulated (case 9)."""
    if turns and turns[0].role == "user":
        return History(tuple(turns))
    opening = Message("user", (Text(PLACEHOLDER_TURN),), "messages[0]")
    return History((opening, *turns), (), ("messages[0]",))


def is_prefill(turns: Sequence[Message]) -> bool:
    """Whether the last turn is the assistant's: words for the model to go on from."""
    return bool(turns) and turns[-1].role == "assistant"


# --- Cache marks --------------------------------------------------------------------------------------------------


def limit_cache_marks(request: Request, limit: int) -> tuple[Request, tuple[str, ...]]:
    """At most `limit` cache marks, longer-lived ones first (case 22). Returns the request and what was changed.

    Kept, in this order: the last mark of `tools`, the last of `system`, then the latest ones of `messages`, then the rest
    from the back. A "1h" mark behind a "5m" one becomes "5m". `limit` 0 strips all, for a model without prompt caching.
    """
    found = _Marks(None)
    found.through(request)
    if not found.seen:
        return request, ()
    kept = _kept(found.seen, limit)
    planned = [mark if number in kept else None for number, (_, mark) in enumerate(found.seen)]
    changed = ("cache_control",) if None in planned else ()
    fitted = _longest_first(planned)
    if fitted != planned:
        changed = (*changed, "cache_control.ttl")
    return (_Marks(fitted).through(request), changed) if changed else (request, ())


def _kept(seen: list[tuple[str, CacheMark]], limit: int) -> set[int]:
    by_section: dict[str, list[int]] = {"tools": [], "system": [], "messages": []}
    for number, (section, _) in enumerate(seen):
        by_section[section].append(number)
    first = by_section["tools"][-1:] + by_section["system"][-1:] + by_section["messages"][::-1]
    rest = by_section["system"][-2::-1] + by_section["tools"][-2::-1]
    return set((first + rest)[:limit])


def _longest_first(marks: list[CacheMark | None]) -> list[CacheMark | None]:
    short_seen = False
    fitted: list[CacheMark | None] = []
    for mark in marks:
        fitted.append(CacheMark("5m") if mark is not None and short_seen else mark)
        short_seen = short_seen or (mark is not None and mark.ttl == "5m")
    return fitted


class _Marks:
    """A walk over every cache mark in prompt order: it collects them and, given a `plan`, replaces them one by one."""

    def __init__(self, plan: list[CacheMark | None] | None) -> None:
        self.seen: list[tuple[str, CacheMark]] = []
        self._plan = plan

    def through(self, request: Request) -> Request:
        tools = tuple(replace(tool, cache=self._visit("tools", tool.cache)) for tool in request.tools)
        system = tuple(replace(text, cache=self._visit("system", text.cache)) for text in request.system)
        messages = tuple(replace(m, parts=tuple(self._part(part) for part in m.parts)) for m in request.messages)
        return replace(request, tools=tools, system=system, messages=messages)

    def _visit(self, section: str, mark: CacheMark | None) -> CacheMark | None:
        if mark is None:
            return None
        self.seen.append((section, mark))
        return mark if self._plan is None else self._plan[len(self.seen) - 1]

    def _part(self, part: Part) -> Part:
        if isinstance(part, ToolResult):
            content = tuple(replace(inner, cache=self._visit("messages", inner.cache)) for inner in part.content)
            return replace(part, content=content, cache=self._visit("messages", part.cache))
        return replace(part, cache=self._visit("messages", part.cache)) if isinstance(part, Markable) else part
