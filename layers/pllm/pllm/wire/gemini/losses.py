"""What a request loses or has imitated on its way to Gemini: refused by default, reported where dropping is allowed."""

from collections.abc import Iterable

from pllm.core.errors import unsupported
from pllm.wire.lane import Target


class Losses:
    """Collects the entries of x-pllm-dropped and x-pllm-emulated for one request. Each entry once, in order."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    def refuse(self, param: str, why: str = "") -> None:
        """`param` cannot be carried: raises GatewayError(400), or notes it where the deployment drops unsupported fields."""
        if not self._target.drop_unsupported:
            raise unsupported(param, self._target.public_name, why)
        self.drop(param)

    def drop(self, *entries: str) -> None:
        """What may be left out without asking, because the answer is the same without it."""
        self._dropped.update(dict.fromkeys(entries))

    def emulate(self, *entries: str) -> None:
        self._emulated.update(dict.fromkeys(entries))

    def extend(self, dropped: Iterable[str], emulated: Iterable[str] = ()) -> None:
        self.drop(*dropped)
        self.emulate(*emulated)

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)
