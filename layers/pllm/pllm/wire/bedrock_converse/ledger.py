"""What one request loses or has imitated on its way to Converse, and the rule for what may not be lost (case 23)."""

from collections.abc import Iterable

from pllm.core.errors import unsupported
from pllm.wire.lane import Target


class Ledger:
    """Filled while one request is encoded. Entries are in order and said once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)

    def refuse(self, param: str, why: str = "") -> None:
        """A field that cannot be carried: GatewayError(400) naming it and the model, or, by configuration, dropped."""
        if not self._target.drop_unsupported:
            raise unsupported(param, self._target.public_name, f"{why}." if why else "")
        self.drop(param)

    def drop(self, *entries: str) -> None:
        """Lost without harm to the answer's meaning: said in the response header, never an error."""
        self._dropped.update(dict.fromkeys(entries))

    def emulate(self, *entries: str) -> None:
        self._emulated.update(dict.fromkeys(entries))

    def merge(self, dropped: Iterable[str], emulated: Iterable[str]) -> None:
        self.drop(*dropped)
        self.emulate(*emulated)
