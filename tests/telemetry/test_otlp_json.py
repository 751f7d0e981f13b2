"""Spans as JSON, read back by the collector's own schema."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.collector import read_spans

from pllm.telemetry.otlp_json import CLIENT, SERVER, Link, Span, Value, export_request

ids = st.text("0123456789abcdef", min_size=16, max_size=16)
values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
attributes = st.dictionaries(st.from_regex(r"[a-z_.]{1,20}", fullmatch=True), values, max_size=6)
spans = st.builds(
    Span,
    name=st.text(st.characters(exclude_categories=["Cs"])),
    kind=st.sampled_from([SERVER, CLIENT]),
    trace_id=st.tuples(ids, ids).map("".join),
    span_id=ids,
    start_ns=st.integers(0, 2**63),
    end_ns=st.integers(0, 2**63),
    parent_id=st.one_of(st.just(""), ids),
    parent_is_remote=st.booleans(),
    flags=st.integers(0, 3),
    state=st.sampled_from(["", "a=1,b=2"]),
    attributes=attributes,
    failed=st.booleans(),
    links=st.lists(st.builds(Link, st.tuples(ids, ids).map("".join), ids, attributes), max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(spans, max_size=3), attributes)
def test_the_collectors_schema_reads_what_was_written(written: list[Span], resource: dict[str, Value]) -> None:
    found = read_spans(export_request(written, resource))
    assert len(found) == len(written)
    for one, span in zip(found, written, strict=True):
        assert (one.name, one.kind, one.trace_id, one.span_id) == (span.name, span.kind, span.trace_id, span.span_id)
        assert (one.parent_id, one.start_ns, one.end_ns) == (span.parent_id, span.start_ns, span.end_ns)
        assert one.attributes == span.attributes
        assert (one.failed, one.state) == (span.failed, span.state)
        assert one.flags & 0xFF == span.flags
        assert bool(one.flags & 0x200) == span.parent_is_remote
        assert one.links == tuple((link.trace_id, link.span_id, link.attributes) for link in span.links)
        assert one.resource == resource


def test_text_that_is_no_unicode_does_not_cost_the_batch() -> None:
    span = Span("n", SERVER, "0" * 31 + "1", "0" * 15 + "1", 0, 1, attributes={"url.path": "/v1/\ud800"})
    (found,) = read_spans(export_request([span], {}))
    assert found.attributes == {"url.path": "/v1/?"}
