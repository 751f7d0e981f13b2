"""What a translation loses or imitates, collected while it happens (case 23)."""

from pllm.core.errors import unsupported
from pllm.wire.lane import Target


class Notes:
    """The lists behind x-pllm-dropped and x-pllm-emulated. Mutable, one a request."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.dropped: list[str] = []
        self.emulated: list[str] = []

    def refuse(self, param: str, why: str = "") -> None:
        """Raises a 400 naming parameter and model, or, where the operator allows it, notes it as dropped."""
        if not self._target.drop_unsupported:
            raise unsupported(param, self._target.public_name, why)
        self.drop(param)

    def drop(self, *params: str) -> None:
        """Dropped without asking, because the answer is the same without it."""
        self.dropped += [param for param in params if param not in self.dropped]

    def emulate(self, *params: str) -> None:
        self.emulated += [param for param in params if param not in self.emulated]
