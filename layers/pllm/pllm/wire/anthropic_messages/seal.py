"""Carrying other providers' signatures through a dialect that has one field for them.

A Messages client hands thinking blocks back untouched. When the thinking was not Anthropic's, its signature, encrypted
content and item id travel in the `signature` field under a prefix that no provider uses, and are taken apart again when
the client sends the history (cases 10 and 12). Anthropic never gets to see one.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "pllm1:"

Kind = Literal["signature", "redacted", "call"]
_LETTER: dict[Kind, str] = {"signature": "s", "redacted": "r", "call": "c"}
_KIND: dict[str, Kind] = {letter: kind for kind, letter in _LETTER.items()}


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one `signature` field carries. kind "call": the signature of the tool call that follows the block."""

    kind: Kind
    origin: str
    payload: str
    id: str | None = None


def seal(sealed: Sealed) -> str:
    return f"{PREFIX}{_LETTER[sealed.kind]}:{sealed.origin}:{sealed.id or ''}:{sealed.payload}"


def unseal(signature: str) -> Sealed | None:
    """None for a signature that is not one of ours, or that was tampered with."""
    if not signature.startswith(PREFIX):
        return None
    letter, _, rest = signature.removeprefix(PREFIX).partition(":")
    origin, _, rest = rest.partition(":")
    item_id, colon, payload = rest.partition(":")
    if letter not in _KIND or not origin or not colon or not payload:
        return None
    return Sealed(_KIND[letter], origin, payload, item_id or None)


def is_foreign(signature: object) -> bool:
    """Whether Anthropic would refuse it: made by another provider, or missing."""
    return not isinstance(signature, str) or not signature or signature.startswith(PREFIX)
