"""A request's part of a trace: its attempts, what upstreams are told, and what is kept of what was said."""

from random import Random

from pllm.core.deployment import Deployment
from pllm.core.record import RequestRecord
from pllm.core.request_trace import MOST_HEARD_BYTES, Conversation, RequestTrace
from pllm.core.trace_context import TraceContext, parse_traceparent

PLACE = Deployment("gpt/1", "gpt", "azure", "gpt-x")
CONTEXT = TraceContext("a" * 32, "b" * 16, 1)


def trace(context: TraceContext = CONTEXT, *, propagated: bool = True) -> RequestTrace:
    return RequestTrace(context, Random(1).getrandbits, propagated=propagated)


def test_every_attempt_is_a_span_of_its_own_in_the_order_in_which_they_were_made() -> None:
    of = trace()
    first, second = of.attempt(PLACE, 1.0), of.attempt(PLACE, 2.0)
    assert of.attempts == [first, second]
    assert len({first.span_id, second.span_id, CONTEXT.span_id}) == 3
    assert (first.deployment, first.provider, first.model, first.started_s) == ("gpt/1", "azure", "gpt-x", 1.0)
    assert first.ended_s is None


def test_an_upstream_is_told_its_own_span_and_the_vendors_list_where_there_is_one() -> None:
    for context, names in (
        (CONTEXT, {"traceparent"}),
        (TraceContext("a" * 32, "b" * 16, 1, "v=1"), {"traceparent", "tracestate"}),
    ):
        of = trace(context)
        span = of.attempt(PLACE, 1.0)
        told = of.headers(span)
        assert set(told) == names
        assert parse_traceparent([told["traceparent"]]) == TraceContext("a" * 32, span.span_id, 1)
        assert told.get("tracestate", "") == context.state


def test_where_the_trace_stays_here_upstreams_are_told_nothing() -> None:
    of = trace(propagated=False)
    assert of.headers(of.attempt(PLACE, 1.0)) == {}


def test_a_span_ends_with_an_error_or_without_an_outcome_and_notes_what_was_used() -> None:
    span = trace().attempt(PLACE, 1.0)
    span.end(3.0, left=True)
    assert (span.ended_s, span.error, span.left) == (3.0, "", True)
    span.note(RequestRecord("r", "chat", 0.0, finish="stop", prompt_tokens=3, completion_tokens=2))
    assert (span.finish, span.prompt_tokens, span.completion_tokens) == ("stop", 3, 2)


def test_an_answer_is_kept_to_the_byte_and_one_that_is_too_long_not_at_all() -> None:
    heard = Conversation()
    heard.hear(b"x" * MOST_HEARD_BYTES)
    assert b"".join(heard.answered) == b"x" * MOST_HEARD_BYTES
    heard.hear(b"y")
    heard.hear(b"z")
    assert (heard.answered, heard.heard_bytes) == ([], MOST_HEARD_BYTES + 2)
