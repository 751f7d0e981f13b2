"""Trace headers, read and written as the official propagators of OpenTelemetry and AWS read and write them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pllm.core.trace_context import (
    TraceContext,
    XRay,
    format_traceparent,
    format_xray,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    parse_tracestate,
    parse_xray,
    xray_trace_id,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
W3C = TraceContextTextMapPropagator()
AMAZON = AwsXRayPropagator()


def hex_ids(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits).filter(lambda text: bool(text.strip("0")))


contexts = st.builds(TraceContext, hex_ids(32), hex_ids(16), st.integers(0, 3))


def judged(carrier: dict[str, list[str]]) -> SpanContext:
    found: SpanContext = get_current_span(W3C.extract(carrier)).get_span_context()
    return found


@given(contexts)
def test_a_traceparent_is_read_back_by_us_and_by_opentelemetry(context: TraceContext) -> None:
    written = format_traceparent(context)
    assert parse_traceparent([written]) == context
    theirs = judged({"traceparent": [written]})
    assert (theirs.trace_id, theirs.span_id) == (int(context.trace_id, 16), int(context.span_id, 16))
    assert theirs.trace_flags == context.flags
    carrier: dict[str, str] = {}
    W3C.inject(carrier, set_span_in_context(NonRecordingSpan(theirs)))
    assert carrier["traceparent"] == written


@given(
    st.sampled_from(["00", "01", "cc", "ff", "0", "0A", "zz"]),
    st.one_of(hex_ids(32), hex_ids(32).map(str.upper), hex_ids(31), st.just("0" * 32)),
    st.one_of(hex_ids(16), st.just("0" * 16), hex_ids(17)),
    st.sampled_from(["00", "01", "ff", "1", "0x", "FF"]),
    st.sampled_from(["", "-", "-what-comes", "x", ".", " "]),
)
def test_what_is_no_traceparent_is_no_trace_as_opentelemetry_has_it(
    version: str, trace_id: str, span_id: str, flags: str, rest: str
) -> None:
    header = f"{version}-{trace_id}-{span_id}-{flags}{rest}"
    ours, theirs = parse_traceparent([header]), judged({"traceparent": [header]})
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert int(ours.trace_id, 16) == theirs.trace_id
        assert ours.sampled == theirs.trace_flags.sampled


@pytest.mark.parametrize(
    "header",
    [
        GOOD.upper(),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"{GOOD}-more",
        GOOD[:-1],
        GOOD.replace("-", "_"),
        "",
        "not a traceparent",
        f"00-{TRACE}-{SPAN}-\xb2\xb2",
    ],
)
def test_these_are_no_trace(header: str) -> None:
    assert parse_traceparent([header]) is None


def test_two_headers_are_as_good_as_none() -> None:
    assert parse_traceparent([GOOD, GOOD]) is None
    assert parse_traceparent([]) is None


def test_a_version_to_come_is_read_as_far_as_it_is_known() -> None:
    assert parse_traceparent([f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"]) == TraceContext(TRACE, SPAN, 1)
    assert parse_traceparent([f"cc-{TRACE}-{SPAN}-03"]) == TraceContext(TRACE, SPAN, 1)
    assert parse_traceparent([f"cc-{TRACE}-{SPAN}-01.what"]) is None


keys = st.from_regex(r"[a-z][a-z0-9_\-*/]{0,20}(@[a-z][a-z0-9]{0,5})?", fullmatch=True)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",="), min_size=1, max_size=200)


@given(st.lists(st.tuples(keys, texts), max_size=40, unique_by=lambda pair: pair[0]))
def test_what_is_passed_on_of_a_tracestate_is_short_and_the_same_to_opentelemetry(pairs: list[tuple[str, str]]) -> None:
    members = [f"{key}={value}" for key, value in pairs]
    passed = parse_tracestate([",".join(members)])
    assert len(passed) <= 512
    kept = passed.split(",") if passed else []
    assert [member for member in members if member in kept] == kept
    assert list(TraceState.from_header([passed]).items()) == [tuple(member.split("=", 1)) for member in kept]
    if len(members) > 32:
        assert kept == []
    elif len(",".join(members)) <= 512:
        assert kept == members


def test_several_tracestate_headers_are_one_list() -> None:
    assert parse_tracestate(["a=1, b=2", "\tc=3 ,,"]) == "a=1,b=2,c=3"
    assert parse_tracestate([]) == parse_tracestate([" "]) == ""


def test_a_long_member_goes_before_the_last_ones_do() -> None:
    long, rest = f"a={'x' * 200}", [f"k{n}={'y' * 40}" for n in range(10)]
    assert parse_tracestate([",".join([long, *rest])]) == ",".join(rest)
    many = [f"k{n}={'y' * 100}" for n in range(10)]
    assert parse_tracestate([",".join(many)]) == ",".join(many[:4])


@pytest.mark.parametrize("header", ["a=1,a=2", "A=1", "a", "a=", "=1", "a=b=c", "1a=1", "a@1=1", "a=\x7f", "a=é", "a b=1"])
def test_a_tracestate_that_cannot_be_read_is_not_passed_on(header: str) -> None:
    assert parse_tracestate([header]) == ""


@given(contexts)
def test_an_x_ray_header_is_read_back_by_us_and_by_aws(context: TraceContext) -> None:
    written = format_xray(context)
    assert parse_xray(written) == XRay(context.trace_id, context.span_id, context.sampled)
    theirs = get_current_span(AMAZON.extract({"X-Amzn-Trace-Id": written})).get_span_context()
    assert (theirs.trace_id, theirs.span_id) == (int(context.trace_id, 16), int(context.span_id, 16))
    carrier: dict[str, str] = {}
    plain = SpanContext(theirs.trace_id, theirs.span_id, is_remote=True, trace_flags=TraceFlags(int(context.sampled)))
    AMAZON.inject(carrier, set_span_in_context(NonRecordingSpan(plain)))
    assert carrier["X-Amzn-Trace-Id"] == written
    assert xray_trace_id(context.trace_id) in written


def test_lambdas_own_value_is_read_with_all_that_stands_beside_it() -> None:
    value = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a87bd80c:0|2:68fd508a:5"
    assert parse_xray(value) == XRay("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", True)
    assert parse_xray("Self=1-1-2;Root=1-5759e988-bd862e3fe1be46a994272793") == XRay("5759e988bd862e3fe1be46a994272793")
    assert parse_xray("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?") == XRay("5759e988bd862e3fe1be46a994272793")


@given(st.text(max_size=80))
def test_anything_else_is_no_x_ray_header(text: str) -> None:
    assert parse_xray(text) is None
    assert (
        parse_xray(f"Root=1-5759e988-bd862e3fe1be46a99427279{text[:1] or 'g'};Sampled=1") is None
        or text[:1] in "0123456789abcdef"
    )


@given(st.integers(0, 2**32 - 1), st.integers())
def test_new_ids_are_good_ids_in_every_spelling(now_s: int, seed: int) -> None:
    random = Random(seed).getrandbits
    context = TraceContext(new_trace_id(now_s, random), new_span_id(random), 1)
    assert parse_traceparent([format_traceparent(context)]) == context
    assert parse_xray(format_xray(context)) == XRay(context.trace_id, context.span_id, True)
    assert int(context.trace_id[:8], 16) == now_s


def test_no_randomness_makes_an_id_of_zeros() -> None:
    assert new_span_id(lambda bits: 0).strip("0")
    assert new_trace_id(0.0, lambda bits: 0).strip("0")
