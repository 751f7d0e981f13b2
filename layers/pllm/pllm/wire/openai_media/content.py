"""A request's body, JSON or multipart, as the lane sees it; and the JSON one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.fields import boolean, optional


@dataclass(frozen=True, slots=True)
class Edits:
    """The named edits. `model`: the provider's name for it, None where its body must not name one. `added`: JSON values of
    fields that the client left out."""

    model: str | None
    dropped: frozenset[str] = frozenset()
    added: Mapping[str, Any] = field(default_factory=dict)


class Content(Protocol):
    """What the gateway must read of a body, and how it is edited. Reading raises GatewayError(400) naming the field."""

    @property
    def content_type(self) -> str: ...

    @property
    def names(self) -> frozenset[str]:
        """The fields that say something: one that is null does not."""
        ...

    def model(self) -> str: ...

    def flag(self, name: str) -> bool: ...

    def says(self, name: str, value: str) -> bool:
        """Whether the field is this text. Anything else is the provider's to judge."""
        ...

    def count(self, name: str) -> int:
        """A whole number of at least 1, which it is also where the client is silent or wrong: the provider judges."""
        ...

    def items(self, name: str) -> int:
        """How many texts (or lists of tokens) a field holds: 1 where it is no list of them."""
        ...

    def length(self, name: str) -> int:
        """How many characters a text field has; 0 where there is no text."""
        ...

    def edited(self, edits: Edits) -> bytes: ...


def missing_model() -> GatewayError:
    return invalid("'model' is missing: name the model to use. GET /v1/models lists them.", "model")


class JsonContent:
    """See `Content`."""

    content_type = "application/json"

    def __init__(self, body: JsonObject) -> None:
        self._body = body

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, value in self._body.items() if value is not None)

    def model(self) -> str:
        model = self._body.get("model")
        if model is None:
            raise missing_model()
        if not isinstance(model, str) or not model:
            raise invalid("'model' must be a non-empty string.", "model")
        return model

    def flag(self, name: str) -> bool:
        return optional(self._body, name, boolean) or False

    def says(self, name: str, value: str) -> bool:
        return bool(self._body.get(name) == value)

    def count(self, name: str) -> int:
        value = self._body.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 1 else 1

    def items(self, name: str) -> int:
        value = self._body.get(name)
        return sum(isinstance(one, str | list) for one in value) or 1 if isinstance(value, list) else 1

    def length(self, name: str) -> int:
        value = self._body.get(name)
        return len(value) if isinstance(value, str) else 0

    def edited(self, edits: Edits) -> bytes:
        kept = {name: value for name, value in self._body.items() if name not in edits.dropped}
        kept.update(edits.added)
        if edits.model is None:
            del kept["model"]
        else:
            kept["model"] = edits.model
        return dumps(kept)
