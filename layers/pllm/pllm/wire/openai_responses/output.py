"""`output` in the making: neutral events in, event payloads out.

Consecutive text and refusal blocks are parts of one message item; every other block is an item of its own. A stopped block
is closed only when the next one starts or the answer finishes: only then is it known whether it was cut short. Blocks may
overlap, as parallel calls do with some providers.
"""

from pllm.core.errors import malformed_upstream
from pllm.wire.neutral import (
    BlockStop,
    CitationDelta,
    Event,
    LogprobsDelta,
    OpaqueBlock,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from pllm.wire.openai_responses.blocks import (
    Block,
    CallBlock,
    Item,
    Payloads,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    call_item,
)
from pllm.wire.openai_responses.seal import REASONING_ID


class Output:
    """One answer's output. `seed` makes the item ids. Only the first choice counts: the dialect knows no other."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.items: list[Item] = []
        self._blocks: dict[int, Block] = {}
        self._open: list[Block] = []
        self._message: Item | None = None

    def take(self, event: Event) -> Payloads:
        """The payloads an event amounts to. Raises GatewayError for a block that this dialect has no words for."""
        match event:
            case TextDelta(choice=0):
                return self._text(event.index, TextBlock, event.text)
            case RefusalDelta(choice=0):
                return self._text(event.index, RefusalBlock, event.text)
            case ThinkingDelta(choice=0):
                return self._think(event)
            case ToolCallStart(choice=0):
                return self._call(event)
            case ToolCallDelta(choice=0):
                return self._blocks[event.index].grow(event.fragment)
            case CitationDelta(choice=0):
                return self._cite(event)
            case LogprobsDelta(choice=0):
                return self._logprobs(event)
            case OpaqueBlock(choice=0):
                return self._opaque(event)
            case BlockStop(choice=0) if event.index in self._blocks:
                self._blocks[event.index].stopped = True
                return []
            case _:
                return []

    def finish(self, status: str) -> Payloads:
        """Closes everything. With "incomplete", the last item is the one that was cut."""
        events: Payloads = []
        for block in self._open:
            block.stopped = True
        last = self.items[-1] if self.items else None
        events += self._settle(keep=last)
        if last is not None:
            events += last.finish(status)
        return events

    def abandon(self) -> None:
        """The answer broke: what is open keeps what it has, as incomplete, and nobody is told in events."""
        for block in self._open:
            block.close()
            block.item.finish("incomplete")
        self._open = []
        if self._message is not None:
            self._message.finish("incomplete")

    @property
    def has_refusal(self) -> bool:
        return any(isinstance(block, RefusalBlock) for block in self._blocks.values())

    def _text(self, index: int, form: type[TextBlock] | type[RefusalBlock], text: str) -> Payloads:
        block = self._blocks.get(index)
        if block is not None:
            return block.grow(text)
        events = self._settle(keep=self._message)
        if self._message is None or self._message is not self.items[-1]:
            events += self._end_message()
            item_id = f"msg_{self._seed}_{len(self.items)}"
            content = {"type": "message", "id": item_id, "role": "assistant", "status": "in_progress", "content": []}
            self._message = self._add(Item(len(self.items), content))
            events.append(self._message.added(content=[]))
        block = self._start(index, form(self._message))
        return [*events, *block.open(), *block.grow(text)]

    def _think(self, delta: ThinkingDelta) -> Payloads:
        events: Payloads = []
        block = self._blocks.get(delta.index)
        if block is None:
            events = [*self._settle(), *self._end_message()]
            taken = {item.json["id"] for item in self.items}
            fresh = delta.id if delta.id and delta.id not in taken else f"{REASONING_ID}{self._seed}_{len(self.items)}"
            item = self._add(Item(len(self.items), {"type": "reasoning", "id": fresh, "summary": []}))
            events.append(item.added(summary=[]))
            block = self._start(delta.index, ThinkingBlock(item))
        if isinstance(block, ThinkingBlock):
            block.prove(delta)
        return [*events, *block.grow(delta.text)]

    def _call(self, start: ToolCallStart) -> Payloads:
        events = [*self._settle(), *self._end_message()]
        item = self._add(Item(len(self.items), call_item(start, f"{self._seed}_{len(self.items)}")))
        self._start(start.index, CallBlock(item))
        return [*events, item.added()]

    def _cite(self, event: CitationDelta) -> Payloads:
        events = self._text(event.index, TextBlock, "")
        block = self._blocks[event.index]
        if isinstance(block, TextBlock):
            block.citations.append(event.citation)
        return events

    def _logprobs(self, event: LogprobsDelta) -> Payloads:
        texts = [block for block in self._blocks.values() if isinstance(block, TextBlock)]
        found = event.logprobs.get("content")
        return texts[-1].add_logprobs(found) if texts and isinstance(found, list) else []

    def _opaque(self, event: OpaqueBlock) -> Payloads:
        if event.block.dialect != "responses":
            raise malformed_upstream(f"a {event.block.type!r} block has no form in the Responses API")
        events = [*self._settle(), *self._end_message()]
        item = self._add(Item(len(self.items), dict(event.block.raw)))
        status = str(item.json.get("status"))
        return [*events, item.added(), *item.finish(status)]

    def _add(self, item: Item) -> Item:
        self.items.append(item)
        return item

    def _start(self, index: int, block: Block) -> Block:
        self._blocks[index] = block
        self._open.append(block)
        return block

    def _settle(self, keep: Item | None = None) -> Payloads:
        """Closes the stopped blocks and, but for `keep`, the items they were the whole of."""
        events: Payloads = []
        for block in [block for block in self._open if block.stopped]:
            self._open.remove(block)
            events += block.close()
            if block.item is not keep and block.item is not self._message:
                events += block.item.finish("completed")
        return events + ([] if self._message is keep else self._end_message())

    def _end_message(self) -> Payloads:
        """Closes the message item, unless one of its parts is still open."""
        message = self._message
        if message is None or any(block.item is message for block in self._open):
            return []
        self._message = None
        return message.finish("completed")
