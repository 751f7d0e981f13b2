"""Reasoning of other providers inside Responses' `encrypted_content`, and back.

A client returns reasoning items as it got them, so the proof another provider needs (Claude's signature, a redacted block)
rides in `encrypted_content` under a readable label. What carries no label is OpenAI's own and stays untouched (case 10).
"""

from dataclasses import replace

from pllm.wire.neutral import Thinking, ThinkingDelta

REASONING_ID = "rs_pllm_"
"""How the ids of reasoning items begin that the gateway made: OpenAI has never seen them."""

_LABEL = "pllm1"


def seal(thinking: Thinking) -> str | None:
    """The `encrypted_content` for a block of thinking; None when nothing has to be proven."""
    if thinking.origin == "openai":
        return thinking.signature or thinking.redacted
    for form, proof in (("signature", thinking.signature), ("redacted", thinking.redacted)):
        if proof:
            return f"{_LABEL}:{thinking.origin}:{form}:{proof}"
    return None


def unseal(encrypted: str | None, text: str, item_id: str | None) -> Thinking:
    """The thinking that an item's `encrypted_content` proves. Without any it proves nothing and belongs to nobody."""
    thinking = Thinking(text, id=item_id)
    if not encrypted:
        return thinking
    pieces = encrypted.split(":", 3)
    if len(pieces) != 4 or pieces[0] != _LABEL or pieces[2] not in ("signature", "redacted"):
        return replace(thinking, signature=encrypted, origin="openai")
    _, origin, form, proof = pieces
    if form == "redacted":
        return replace(thinking, redacted=proof, origin=origin)
    return replace(thinking, signature=proof, origin=origin)


def thinking_of(delta: ThinkingDelta) -> Thinking:
    """What a delta proves, as a block."""
    return Thinking(delta.text, delta.signature, delta.redacted, delta.origin, delta.id)


def is_ours(item_id: object, encrypted: object) -> bool:
    """Whether the gateway made this reasoning item out of another provider's thinking: OpenAI would refuse it."""
    if isinstance(encrypted, str) and encrypted:
        return encrypted.startswith(_LABEL + ":")
    return isinstance(item_id, str) and item_id.startswith(REASONING_ID)
