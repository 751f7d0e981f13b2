"""Which trace a request belongs to: W3C `traceparent` and `tracestate`, AWS X-Ray's header, and the way from one to the other.

https://www.w3.org/TR/trace-context/ and https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader.
What cannot be read is no trace: nobody is refused for it. No regular expressions: compiling them would cost every cold start
more than reading the headers costs a request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

RandomBits = Callable[[int], int]
"""k -> a random integer of k bits."""

SAMPLED = 0x01
_RANDOM = 0x02
"""Says that the last seven bytes of the trace id are random (level 2 of the recommendation): passed on, never set by us for
ids of others."""

_STATE_MEMBERS = 32
_STATE_CHARACTERS = 512
_LONG_MEMBER = 128

_HEX = "0123456789abcdef"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LETTERS_AND_DIGITS = f"{_LETTERS}0123456789"
_KEY = f"{_LETTERS_AND_DIGITS}_-*/"
_BLANK = " \t"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace. `trace_id`: 32 lower-case hex digits, `span_id`: 16; neither is all zeros. `flags`: of version 00.
    `state`: the vendors' list as it is sent, "" for none."""

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


@dataclass(frozen=True, slots=True)
class XRay:
    """AWS's own idea of the trace. `span_id`: "" where the header names no parent. `sampled`: None where nobody has decided."""

    trace_id: str
    span_id: str = ""
    sampled: bool | None = None


def parse_traceparent(values: Sequence[str]) -> TraceContext | None:
    """From every `traceparent` header that came. Two of them are as good as none; versions to come are read as far as they are
    like version 00, which the recommendation promises of them."""
    if len(values) != 1:
        return None
    text = values[0].strip(_BLANK)
    version, trace_id, span_id, flags = text[:2], text[3:35], text[36:52], text[53:55]
    if text[2:3] + text[35:36] + text[52:53] != "---" or version == "ff":
        return None
    if not (_is_hex(version, 2) and _is_hex(flags, 2) and _is_id(trace_id, 32) and _is_id(span_id, 16)):
        return None
    if len(text) > 55 and (version == "00" or text[55] != "-"):
        return None
    known = SAMPLED | _RANDOM if version == "00" else SAMPLED
    return TraceContext(trace_id, span_id, int(flags, 16) & known)


def format_traceparent(context: TraceContext) -> str:
    return f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}"


def parse_tracestate(values: Sequence[str]) -> str:
    """The list to be passed on, "" where there is none or it is not one. Members keep their order; above 512 characters those
    longer than 128 go first, then the last ones."""
    members = [member for value in values for part in value.split(",") if (member := part.strip(_BLANK))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > _STATE_MEMBERS or len(keys) < len(members) or not all(map(_is_member, members)):
        return ""
    if _length(members) > _STATE_CHARACTERS:
        members = [member for member in members if len(member) <= _LONG_MEMBER]
    while _length(members) > _STATE_CHARACTERS:
        members.pop()
    return ",".join(members)


def parse_xray(header: str) -> XRay | None:
    """From `X-Amzn-Trace-Id`, or the value that Lambda gives with an invocation; other fields (Self, Lineage) are not read."""
    fields = {name.strip().lower(): value.strip() for name, _, value in (part.partition("=") for part in header.split(";"))}
    version, _, rest = fields.get("root", "").partition("-")
    epoch, _, unique = rest.partition("-")
    if version != "1" or not (_is_hex(epoch, 8) and _is_hex(unique, 24) and _is_id(epoch + unique, 32)):
        return None
    parent = fields.get("parent", "")
    sampled = {"1": True, "0": False}.get(fields.get("sampled", ""))
    return XRay(epoch + unique, parent if _is_id(parent, 16) else "", sampled)


def format_xray(context: TraceContext) -> str:
    return f"Root={xray_trace_id(context.trace_id)};Parent={context.span_id};Sampled={int(context.sampled)}"


def xray_trace_id(trace_id: str) -> str:
    """A trace id as X-Ray and CloudWatch spell it: they take any W3C id so."""
    return f"1-{trace_id[:8]}-{trace_id[8:]}"


def new_trace_id(now_s: float, random_bits: RandomBits) -> str:
    """Begins with the second, as X-Ray's do; the rest is random, so it is a good W3C id too."""
    return f"{int(now_s) & 0xFFFFFFFF:08x}{random_bits(96) or 1:024x}"


def new_span_id(random_bits: RandomBits) -> str:
    return f"{random_bits(64) or 1:016x}"


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and not text.strip(_HEX)


def _is_id(text: str, digits: int) -> bool:
    return _is_hex(text, digits) and bool(text.strip("0"))


def _length(members: Sequence[str]) -> int:
    return sum(map(len, members)) + len(members) - 1


def _is_member(member: str) -> bool:
    """`key=value`, where a key may be `tenant@system`."""
    key, equals, value = member.partition("=")
    tenant, at, system = key.rpartition("@")
    if at:
        named = _is_name(tenant, 241, _LETTERS_AND_DIGITS) and _is_name(system, 14, _LETTERS)
    else:
        named = _is_name(key, 256, _LETTERS)
    printable = all(" " <= character <= "~" for character in value)
    return bool(equals) and named and 0 < len(value) <= 256 and printable and "=" not in value


def _is_name(text: str, longest: int, first: str) -> bool:
    return 0 < len(text) <= longest and text[0] in first and not text.strip(_KEY)
