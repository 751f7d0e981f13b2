"""json_schema by a forced tool that the client never sees (case 19): its input becomes the answer's text.

Text beside the tool's input would spoil the JSON. It is withheld, with whatever follows it, until a tool is called: then
it is forgotten if that is the hidden tool, and said if it is one of the client's. Without any call it is said at the end.
"""

from collections.abc import Iterable
from dataclasses import replace

from pllm.wire.neutral import (
    BlockStop,
    CitationDelta,
    Event,
    OpaqueBlock,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)

_Indexed = TextDelta | CitationDelta | ThinkingDelta | ToolCallStart | ToolCallDelta | OpaqueBlock | BlockStop
_Worded = TextDelta | CitationDelta


class HiddenTool:
    """A filter over the block events of one answer. Blocks that vanish leave no gap in the numbers."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._withheld: list[_Indexed] = []
        self._texts: set[int] = set()
        self._hidden: set[int] = set()
        self._answer: int | None = None
        self._numbers: dict[int, int] = {}

    def through(self, events: Iterable[Event]) -> list[Event]:
        return [passed for event in events for passed in self._one(event)]

    def end(self) -> list[Event]:
        """The message is over: what is still withheld was the model's answer after all."""
        return self._release()

    def _one(self, event: Event) -> list[Event]:
        if not isinstance(event, _Indexed):
            return [event]
        if isinstance(event, ToolCallStart):
            return self._call(event)
        if event.index in self._hidden:
            return self._hidden_part(event)
        if isinstance(event, _Worded):
            self._texts.add(event.index)
        if event.index in self._texts and self._answer is not None:
            return []
        if self._withheld or event.index in self._texts:
            self._withheld.append(event)
            return []
        return [self._numbered(event)]

    def _call(self, event: ToolCallStart) -> list[Event]:
        if event.name != self._name:
            return [*self._release(), self._numbered(event)]
        self._hidden.add(event.index)
        if self._answer is not None:
            return []  # the model answered twice; one JSON document is enough
        self._answer = event.index
        self._withheld = [held for held in self._withheld if held.index not in self._texts]
        return self._release()

    def _hidden_part(self, event: _Indexed) -> list[Event]:
        if event.index != self._answer:
            return []
        if isinstance(event, ToolCallDelta):
            return [self._numbered(TextDelta(event.index, event.fragment))]
        return [self._numbered(event)]

    def _release(self) -> list[Event]:
        held, self._withheld = self._withheld, []
        return [self._numbered(event) for event in held]

    def _numbered(self, event: _Indexed) -> Event:
        return replace(event, index=self._numbers.setdefault(event.index, len(self._numbers)))
