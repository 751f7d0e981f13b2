"""A credential that does not print itself."""

from hashlib import sha256


class Secret:
    """Wraps a credential so that logs, reprs and tracebacks cannot hold it. `reveal()` is for the line that sends it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def fingerprint(self) -> str:
        """Eight hex digits that tell two secrets apart without giving either away."""
        return sha256(self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)
