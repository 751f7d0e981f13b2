"""multipart/form-data (RFC 7578), scanned and not parsed: the gateway must read `model` and a flag or two, and everything else
goes on byte for byte.

The scanner is stricter than RFC 2046 wherever two readers may differ, because a part that we do not see and the provider does
would choose its own model: the body starts with the boundary and ends with it, lines end in CRLF, no padding follows a
boundary, and the boundary occurs nowhere else.
"""

from dataclasses import dataclass

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import dumps
from pllm.wire.openai_media.content import Edits, missing_model
from pllm.wire.openai_media.form_headers import boundary_of, part_name

MAX_PARTS = 256

_CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One field. Offsets into the body: from `start` (its delimiter) to `end` (the CRLF before the next one), its content
    from `content` on. `plain`: neither a file nor encoded."""

    name: str
    start: int
    content: int
    end: int
    is_file: bool
    plain: bool


class Form:
    """See `content.Content`. Raises GatewayError(400) for a body that is not one whole form."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.content_type = content_type
        self._body = body
        self._delimiter = b"--" + boundary_of(content_type)
        self.parts, self._closing = _scan(body, self._delimiter)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part.name for part in self.parts)

    def model(self) -> str:
        model = self._text("model")
        if model is None:
            raise missing_model()
        if not model:
            raise invalid("'model' must be a non-empty string.", "model")
        return model

    def flag(self, name: str) -> bool:
        text = (self._text(name) or "false").lower()
        if text not in ("true", "false", "1", "0"):
            raise invalid(f"'{name}' must be true or false.", name)
        return text in ("true", "1")

    def says(self, name: str, value: str) -> bool:
        return self._text(name) == value

    def count(self, name: str) -> int:
        text = self._text(name) or ""
        return max(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 6 else 1

    def items(self, name: str) -> int:
        return 1

    def length(self, name: str) -> int:
        return len(self._text(name) or "")

    def edited(self, edits: Edits) -> bytes:
        """The form with its `model` part rebuilt, parts taken out and others appended; every other byte as it was."""
        pieces: list[bytes] = []
        for part in self.parts:
            if part.name == "model":
                pieces += [] if edits.model is None else [self._field("model", edits.model.encode())]
            elif part.name not in edits.dropped:
                pieces.append(self._body[part.start : part.end + len(_CRLF)])
        for name, value in edits.added.items():
            pieces.append(self._field(name, value.encode() if isinstance(value, str) else dumps(value)))
        return b"".join([*pieces, self._body[self._closing :]])

    def _field(self, name: str, value: bytes) -> bytes:
        if self._delimiter in value:
            raise invalid("The boundary of the form is a common word: choose another.")
        head = b'Content-Disposition: form-data; name="' + name.encode() + b'"'
        return _CRLF.join((self._delimiter, head, b"", value, b""))

    def _text(self, name: str) -> str | None:
        found = [part for part in self.parts if part.name == name]
        if not found:
            return None
        if len(found) > 1:
            raise invalid(f"The form has {len(found)} parts named {name!r}; one is expected.", name)
        if not found[0].plain:
            raise invalid(f"The part {name!r} must be plain text, not a file and not encoded.", name)
        try:
            return self._body[found[0].content : found[0].end].decode("utf-8")
        except UnicodeDecodeError:
            raise invalid(f"The part {name!r} is not UTF-8 text.", name) from None


def _scan(body: bytes, delimiter: bytes) -> tuple[tuple[Part, ...], int]:
    """The parts, and where the closing delimiter begins."""
    if not body.startswith(delimiter):
        raise invalid("The form does not begin with the boundary that its Content-Type announces.")
    parts: list[Part] = []
    start = 0
    while not body.startswith(b"--", after := start + len(delimiter)):
        if not body.startswith(_CRLF, after):
            raise _truncated() if len(body) - after < len(_CRLF) else _stray(after)
        if len(parts) == MAX_PARTS:
            raise invalid(f"The form has more than {MAX_PARTS} parts.")
        following = body.find(delimiter, after)
        if following < 0:
            raise _truncated()
        if body[following - 2 : following] != _CRLF:
            raise _stray(following)
        parts.append(_part(body, start, after + len(_CRLF), following - len(_CRLF), len(parts) + 1))
        start = following
    if body[after + 2 :] not in (b"", _CRLF):
        raise invalid("Something follows the closing boundary of the form.")
    return tuple(parts), start


def _part(body: bytes, start: int, head: int, end: int, number: int) -> Part:
    blank = body.find(_CRLF + _CRLF, head, end)
    if blank < 0:
        raise invalid(f"Part {number} of the form has no blank line between its headers and its content.")
    name, is_file, as_it_is = part_name(body[head:blank], number)
    return Part(name, start, blank + 2 * len(_CRLF), end, is_file, as_it_is and not is_file)


def _truncated() -> GatewayError:
    return invalid("The form is truncated: it ends without its closing boundary.")


def _stray(at: int) -> GatewayError:
    return invalid(f"The boundary occurs at byte {at} where no part ends: choose one that the content does not hold.")
