"""Virtual keys and teams as values: what is kept of them, and what may be said of them.

A key is `sk-pllm-` and 43 letters and digits: 256 random bits. Only the SHA-256 of the whole text is kept. A slow hash would
protect nothing here: there is no dictionary of 256-bit numbers, and every request would pay for it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from pllm.core.limits import BudgetLimit
from pllm.core.principal import Role

KeyState = Literal["active", "disabled", "revoked"]
KeyStatus = Literal["active", "disabled", "revoked", "expired"]

SECRET_BYTES = 32
KEY_CHARS = 51
_PREFIX = "sk-pllm-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = 43  # 62**43 > 2**256
_FORM = re.compile(rf"{_PREFIX}[0-9A-Za-z]{{{_DIGITS}}}")


def mint(secret: bytes) -> str:
    """The key that stands for SECRET_BYTES random bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a key is made of {SECRET_BYTES} random bytes, not {len(secret)}")
    number = int.from_bytes(secret)
    digits = ""
    for _ in range(_DIGITS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return _PREFIX + digits


def is_key(text: str) -> bool:
    """Whether a text has the form of a virtual key. What has not need not be looked up."""
    return _FORM.fullmatch(text) is not None


def digest_of(key: str) -> str:
    """What is kept of a key: 64 hex digits."""
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits and a budget of one's own; None leaves it to the configuration. `sliding`: the minute before weighs in."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    budget: BudgetLimit | None = None
    sliding: bool = False

    @property
    def limits_rate(self) -> bool:
        return not (self.rpm is None and self.tpm is None and self.max_parallel is None)


@dataclass(frozen=True, slots=True)
class KeyFields:
    """What an administrator chooses. `expires_s`: seconds since the epoch."""

    name: str
    team: str | None = None
    models: tuple[str, ...] = ("*",)
    scopes: tuple[str, ...] = ("*",)
    role: Role = "user"
    allowance: Allowance = field(default_factory=Allowance)
    expires_s: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviousKey:
    """A rotated key's former hash and the moment (seconds since the epoch) it stops working."""

    sha256: str
    until_s: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """All that is known of a key. `version` counts its changes from 1. Times are seconds since the epoch."""

    id: str
    sha256: str
    fields: KeyFields
    created_s: int
    created_by: str
    state: KeyState = "active"
    version: int = 1
    previous: PreviousKey | None = None

    def status(self, now_s: float) -> KeyStatus:
        expires_s = self.fields.expires_s
        return "expired" if self.state == "active" and expires_s is not None and now_s >= expires_s else self.state

    def opens(self, digest: str, now_s: float) -> bool:
        """Whether a key of this hash is this record's: the present one, or the former one in its time of grace."""
        if digest == self.sha256:
            return True
        return self.previous is not None and digest == self.previous.sha256 and now_s < self.previous.until_s


@dataclass(frozen=True, slots=True)
class TeamFields:
    """What an administrator chooses. `models`: globs; a key may use what both it and its team may."""

    name: str
    models: tuple[str, ...] = ("*",)
    allowance: Allowance = field(default_factory=Allowance)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Team:
    """`keys` counts the keys that belong to it, revoked ones included. `version` rises with each change, and from one team of
    this id to the next."""

    id: str
    fields: TeamFields
    created_s: int
    created_by: str
    version: int = 1
    keys: int = 0
