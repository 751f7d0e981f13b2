"""`${NAME}`, `${NAME:-default}` and `https://${HOST}/x` in the texts of a configuration.

- A variable that is unset or empty is unresolved; with `:-` the default stands in (it may hold further `${...}`).
- `$${` is a literal `${`. Every other `$` stands for itself.
- Names are letters, digits and `_`, not beginning with a digit.
Numbers and true/false are written out: a text field is the only place for `${...}`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

Lookup = Callable[[str], str | None]
"""The value of a variable, or None."""

_BRACKET = re.compile(r"\$\$\{|\$\{|\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class TemplateError(ValueError):
    """A `${...}` that cannot be read."""


@dataclass(frozen=True, slots=True)
class Variable:
    """`default` is None without `:-`."""

    name: str
    default: "tuple[str | Variable, ...] | None" = None


Template = tuple[str | Variable, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """`text` is None when `missing` variables, which have no default either, stand in the way."""

    text: str | None
    missing: tuple[str, ...] = ()


def parse_template(text: str) -> Template:
    """Literal pieces and variables. Raises TemplateError in plain words."""
    return _parts(text, 0, inside=False)[0]


def fill(text: str, lookup: Lookup) -> Filled:
    """The text with its variables looked up. Raises TemplateError."""
    if "${" not in text:
        return Filled(text)
    missing: list[str] = []
    filled = _fill(parse_template(text), lookup, missing)
    return Filled(None, tuple(dict.fromkeys(missing))) if missing else Filled(filled)


def variables(text: str) -> tuple[str, ...]:
    """Every name that filling in might look up, in order. Raises TemplateError."""
    return tuple(dict.fromkeys(_names(parse_template(text)))) if "${" in text else ()


def escape(text: str) -> str:
    """A text that `fill` gives back as it was."""
    return text.replace("${", "$${")


def _parts(text: str, at: int, *, inside: bool) -> tuple[Template, int]:
    """Pieces from `at` to the end, or, inside a default, to its closing brace; and the position after them."""
    parts: list[str | Variable] = []
    while match := _BRACKET.search(text, at):
        bracket, start = match[0], match.start()
        if start > at:
            parts.append(text[at:start])
        if bracket == "}" and inside:
            return tuple(parts), match.end()
        if bracket == "${":
            variable, at = _variable(text, match.end())
            parts.append(variable)
        else:
            parts.append("${" if bracket == "$${" else "}")
            at = match.end()
    if inside:
        raise TemplateError("a '${' is not closed by '}'")
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts), len(text)


def _variable(text: str, at: int) -> tuple[Variable, int]:
    match = _NAME.match(text, at)
    if not match:
        raise TemplateError("'${' is followed by no variable name (letters, digits, '_'); for a literal '${' write '$${'")
    name, at = match[0], match.end()
    if text.startswith("}", at):
        return Variable(name), at + 1
    if text.startswith(":-", at):
        default, at = _parts(text, at + 2, inside=True)
        return Variable(name, default), at
    if at == len(text):
        raise TemplateError("a '${' is not closed by '}'")
    raise TemplateError(f"'${{{name}' is followed by {text[at]!r}; the forms are ${{NAME}} and ${{NAME:-default}}")


def _fill(template: Template, lookup: Lookup, missing: list[str]) -> str:
    return "".join(part if isinstance(part, str) else _value(part, lookup, missing) for part in template)


def _value(variable: Variable, lookup: Lookup, missing: list[str]) -> str:
    if value := lookup(variable.name):
        return value
    if variable.default is None:
        missing.append(variable.name)
        return ""
    return _fill(variable.default, lookup, missing)


def _names(template: Template) -> list[str]:
    found: list[str] = []
    for part in template:
        if isinstance(part, Variable):
            found += [part.name, *_names(part.default or ())]
    return found
