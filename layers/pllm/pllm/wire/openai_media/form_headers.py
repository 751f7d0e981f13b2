"""The two header lines that decide how a multipart body is read: strict, since two readings of one body are a way past us."""

import re

from pllm.core.errors import GatewayError, invalid

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({_NAME})=({_QUOTED}|[^\x00-\x20\x7f;,"]+)')

# RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")

_AS_IT_IS = frozenset({"", "7bit", "8bit", "binary"})


def boundary_of(content_type: str) -> bytes:
    """The boundary that a `Content-Type` announces. Raises a 400 that says what is wrong with it."""
    kind, parameters = _split(content_type, "The Content-Type")
    if kind != "multipart/form-data":
        raise invalid(f"The body must be multipart/form-data, not {kind or 'of unknown type'}.")
    boundary = parameters.get("boundary")
    if boundary is None:
        raise invalid("The Content-Type has no boundary: multipart/form-data; boundary=... is expected.")
    if not _BOUNDARY.fullmatch(boundary):
        raise invalid("The boundary in the Content-Type is not one: 1 to 70 characters of RFC 2046's set are.")
    return boundary.encode("ascii")


def part_name(head: bytes, number: int) -> tuple[str, bool, bool]:
    """(field name, whether it is a file, whether its content is as it is) of a part's header lines, for part `number`."""
    headers = _lines(head, number)
    where = f"The Content-Disposition of part {number} of the form"
    disposition = headers.get("content-disposition")
    if disposition is None:
        raise _bad(number, "has no Content-Disposition, which names the field")
    kind, parameters = _split(disposition, where)
    if kind != "form-data":
        raise invalid(f"{where} must be form-data, not {kind!r}.")
    if "name" not in parameters or "name*" in parameters:
        raise invalid(f'{where} must name the field in the form name="...".')
    name = parameters["name"].encode("latin-1").decode("utf-8", "replace")
    as_it_is = headers.get("content-transfer-encoding", "").lower() in _AS_IT_IS
    return name, "filename" in parameters or "filename*" in parameters, as_it_is


def _lines(head: bytes, number: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n"):
        matched = re.fullmatch(rf"({_NAME}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", line)
        if matched is None:
            raise _bad(number, "has a header line that is not one")
        name = matched[1].lower()
        if name in found:
            raise _bad(number, f"has the header {name} twice")
        found[name] = matched[2]
    return found


def _split(value: str, where: str) -> tuple[str, dict[str, str]]:
    """The value before the first `;` in lower case, and the parameters behind it."""
    kind = value.partition(";")[0]
    at = len(kind)
    parameters: dict[str, str] = {}
    while at < len(value):
        matched = _PARAMETER.match(value, at)
        if matched is None:
            if not value[at:].strip(" \t;"):
                break
            raise invalid(f"{where} cannot be read from {value[at : at + 40]!r} on.")
        name, given = matched[1].lower(), matched[2]
        if name in parameters:
            raise invalid(f"{where} has {name!r} twice.")
        if given.startswith('"'):
            if name == "name" and "\\" in given:
                # Some readers unescape it and others do not: they would see different fields.
                raise invalid(f"{where} has a backslash in the field's name.")
            given = given[1:-1]
        parameters[name] = given
        at = matched.end()
    return kind.strip(" \t").lower(), parameters


def _bad(number: int, what: str) -> GatewayError:
    return invalid(f"Part {number} of the form {what}.")
