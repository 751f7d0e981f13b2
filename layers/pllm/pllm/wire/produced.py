"""What a stream has shown of its answer since the provider last told what it used: for the bill of a stream that breaks."""

from collections.abc import Iterable, Mapping
from typing import Any

# Their length says nothing of what they are billed at, or is not even in the stream.
_UNTOLD = frozenset({"audio", "images", "reasoning_details"})
_SHOWN_REASONING = frozenset({"reasoning", "reasoning_content"})
_FREE = frozenset({"role", "annotations"})


class Produced:
    """Mutable, one a stream. `tokens`: no tokenizer makes more of the text that was shown, since each token has a byte at
    least; one more for each event, for what frames it. `hidden`: True where more was generated than is shown, False where
    not, None where the stream would not tell (then it depends on whether the model thinks)."""

    __slots__ = ("_told", "_untold", "hidden", "tokens")

    def __init__(self, untold: bool | None = None) -> None:
        """`untold`: what `hidden` is as long as nothing was shown."""
        self._told = 0
        self._untold = untold
        self.hidden = untold
        self.tokens = 0

    def text(self, text: str) -> None:
        self.tokens += 1 + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))

    def told(self, output: int) -> None:
        """The provider told how many tokens it has made so far. Some say 0 in every event until the last."""
        if output > self._told:
            self._told = output
            self.tokens = 0
            self.hidden = self._untold

    def choices(self, choices: Iterable[Any]) -> None:
        """The `choices` of an event of the Chat or Completions dialect."""
        for choice in choices:
            delta = choice.get("delta")
            if isinstance(delta, dict):
                content = delta.get("content")
                if isinstance(content, str) and content:
                    self.text(content)
                    if len(delta) == 1:
                        continue
                self._rest(delta)
            elif isinstance(text := choice.get("text"), str):
                self.text(text)

    def _rest(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if not value or name in _FREE or (name == "content" and isinstance(value, str)):
                continue
            if name in _UNTOLD:
                self.hidden = True
                continue
            if name in _SHOWN_REASONING and self.hidden is None:
                self.hidden = False
            self.value(value)

    def value(self, value: Any) -> None:
        """Every text in a JSON value."""
        match value:
            case str():
                self.text(value)
            case list():
                for one in value:
                    self.value(one)
            case dict():
                for one in value.values():
                    self.value(one)
            case _:
                pass
