"""What is kept of an answer so that it can be fetched, deleted and continued. A value: where it is kept is not said here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.jsontext import JsonError, JsonObject, dumps, loads
from pllm.wire.openai_responses.history import input_items

_VERSION = 1


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One stored answer. `response` is the Response object as the client got it, `input` the items it answered, its
    resolved history included. `expires_s` is in epoch seconds."""

    response: Mapping[str, Any]
    input: tuple[Mapping[str, Any], ...]
    expires_s: int

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def items(self) -> tuple[Mapping[str, Any], ...]:
        """What stands in front of the next request's input: instructions are not carried over, as with OpenAI."""
        return (*self.input, *self.response["output"])

    def to_json(self) -> bytes:
        return dumps({"v": _VERSION, "response": self.response, "input": self.input, "expires_s": self.expires_s})

    @classmethod
    def from_json(cls, data: bytes) -> "StoredResponse":
        """Raises ValueError for what `to_json` did not write."""
        try:
            found = loads(data)
            if found["v"] != _VERSION:
                raise ValueError(f"a stored response of version {found['v']} cannot be read")
            stored = cls(dict(found["response"]), tuple(found["input"]), int(found["expires_s"]))
            if not isinstance(stored.response["id"], str) or not isinstance(stored.response["output"], list):
                raise ValueError("a stored response has no id or no output")
        except (JsonError, KeyError, TypeError) as error:
            raise ValueError(f"not a stored response: {error}") from None
        return stored


def to_store(body: JsonObject, response: Mapping[str, Any] | None, expires_s: int) -> StoredResponse | None:
    """What to keep of the answer to `body` (with its history resolved). None when the client said `store: false` or when
    there is nothing whole to keep."""
    if body.get("store") is False or response is None or response.get("status") not in ("completed", "incomplete"):
        return None
    return StoredResponse(response, tuple(input_items(body)), expires_s)


def deletion(response_id: str) -> bytes:
    """The answer to DELETE /v1/responses/{id}."""
    return dumps({"id": response_id, "object": "response", "deleted": True})


def input_page(stored: StoredResponse) -> bytes:
    """The answer to GET /v1/responses/{id}/input_items: all of them, newest last, in one page."""
    items = [{"id": f"item_{number}", **item} for number, item in enumerate(stored.input)]
    ids = [item["id"] for item in items]
    page = {"object": "list", "data": items, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return dumps({**page, "has_more": False})
