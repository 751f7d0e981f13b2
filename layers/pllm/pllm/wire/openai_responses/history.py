"""`previous_response_id` without a server that remembers: the stored items are put in front of the new ones.

Pure: whoever calls has read the stored items. The id moves to a private field, so that a body whose history was never
resolved cannot be taken for one that needs none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.fields import mapping
from pllm.wire.openai_responses.items import item_type

RESOLVED = "pllm_previous_response_id"
"""Where `with_history` keeps the id for the answer to repeat. Never sent upstream."""


def input_items(body: JsonObject) -> list[JsonObject]:
    """`input` as a list of items: a string is one user message."""
    value = body.get("input")
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        raise invalid("'input' must be a string or a list of items.", "input")
    return [mapping(item, f"input[{number}]") for number, item in enumerate(value)]


def with_history(body: JsonObject, stored_items: Sequence[Mapping[str, Any]]) -> JsonObject:
    """The request with `stored_items` (a stored response's `items`) in front of its input and `previous_response_id`
    resolved. References to stored items are dropped: what they point at now stands in front. Without a
    `previous_response_id`, references are replaced by the items they name. Unknown references stay and are refused later.
    """
    known = {item["id"]: dict(item) for item in stored_items if isinstance(item.get("id"), str)}
    resolved = dict(body)
    previous = resolved.pop("previous_response_id", None)
    items: list[JsonObject] = [dict(item) for item in stored_items] if previous is not None else []
    for item in input_items(body):
        name = item.get("id") if item_type(item) == "item_reference" else None
        referred = known.get(name) if isinstance(name, str) else None
        if referred is None:
            items.append(item)
        elif previous is None:
            items.append(referred)
    resolved["input"] = items
    if previous is not None:
        resolved[RESOLVED] = previous
    return resolved


def refuse_unresolved(body: JsonObject) -> None:
    """Raises a 400 for a `previous_response_id` that nobody resolved: its history would be lost."""
    if (previous := body.get("previous_response_id")) is not None:
        raise GatewayError(
            ErrorKind.INVALID_REQUEST,
            f"The previous response {previous!r} was not found: it was never stored (`store: false`) or has expired. "
            "Send the conversation in 'input' instead.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
