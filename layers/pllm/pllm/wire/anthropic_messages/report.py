"""What a request lost, or had imitated, on its way into this dialect (case 23)."""

from pllm.core.errors import GatewayError, unsupported
from pllm.wire.lane import Target


class Report:
    """Collects entries for `x-pllm-dropped` and `x-pllm-emulated`, and refuses what may not be dropped.

    `defaulted` are the fields that the deployment's configuration filled in: those are dropped without asking, since the
    client never sent them.
    """

    def __init__(self, target: Target, defaulted: frozenset[str] = frozenset()) -> None:
        self._target = target
        self._defaulted = defaulted
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    def unsupported(self, param: str, why: str = "") -> None:
        """Drops `param` where that is allowed; else raises GatewayError(400) naming it and the model."""
        if not self._target.drop_unsupported and param not in self._defaulted:
            raise self.refusal(param, why)
        self._dropped.setdefault(param)

    def refusal(self, param: str, why: str = "") -> GatewayError:
        return unsupported(param, self._target.public_name, why)

    def dropped(self, *params: str) -> None:
        self._dropped.update(dict.fromkeys(params))

    def emulated(self, *params: str) -> None:
        self._emulated.update(dict.fromkeys(params))

    @property
    def all_dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def all_emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)
