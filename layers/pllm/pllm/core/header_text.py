"""Any text as the value of an HTTP header, where only printable ASCII arrives everywhere as it was sent."""

import re

# What a header cannot carry or a recipient would trim, and the sign of the escape itself.
_ESCAPED = re.compile(r"[^ -~]|%|^ +| +$")

MOST_CHARACTERS = 2000
"""Of a list. Lambda takes 8 KB of headers, or else no answer; clients may name as many fields as they like."""

_REST = "..."


def header_text(text: str) -> str:
    """`text` with everything but printable ASCII percent-encoded as UTF-8 (RFC 3986, section 2.1). `%` is `%25`, so that
    every percent-decoder gives back just what went in; a name of plain ASCII is itself."""
    return _ESCAPED.sub(_encoded, text)


def header_list(texts: tuple[str, ...]) -> str:
    """Texts as one value, separated by commas; a comma within one is `%2C`. At most MOST_CHARACTERS: `...` is for the rest."""
    shown: list[str] = []
    left = MOST_CHARACTERS - len(_REST)
    for text in texts:
        one = header_text(text).replace(",", "%2C")
        left -= len(one) + len(", ")
        if left < 0:
            return ", ".join((*shown, _REST))
        shown.append(one)
    return ", ".join(shown)


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))
