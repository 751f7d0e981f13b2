"""A client's trace on its way through the gateway: to every attempt's upstream, and into the log line."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from tests.support.gateway import RealClock, deployment, gateway
from tests.support.upstream import Cut, Hang, chunk, event, upstream

from pllm.core.record import RequestRecord
from pllm.core.request_trace import RequestTrace
from pllm.core.trace_context import parse_traceparent
from pllm.telemetry.tracing import Request, Tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "congo=t61rcWkgMzE, rojo=00f067", "baggage": "user=7"}
IN_XRAY = f"1-{TRACE[:8]}-{TRACE[8:]}"
PLATFORM = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={}"
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}


@dataclass
class Kept:
    """Every trace that ended, instead of an exporter."""

    sampled: bool = True
    asked: list[tuple[bool | None, str]] = field(default_factory=list)
    ended: list[tuple[RequestTrace, RequestRecord]] = field(default_factory=list)

    def samples(self, parent: bool | None, trace_id: str) -> bool:
        self.asked.append((parent, trace_id))
        return self.sampled

    def add(self, trace: RequestTrace, record: RequestRecord, request: Request) -> None:
        self.ended.append((trace, record))


def tracing(spans: Kept | None = None, *, platform: str | None = None, propagate: bool = True) -> Tracing:
    return Tracing(Random(5).getrandbits, RealClock(), lambda: platform, propagate, spans)


async def test_an_upstream_gets_the_clients_trace_with_a_span_of_its_own_and_nothing_else_of_it() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing()) as gw:
        up.will_answer(ANSWER)
        await gw.client.post(
            "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "hi"}]}, headers=SENT
        )
        headers = up.requests[0].headers
        told = parse_traceparent([headers["traceparent"]])
        assert told is not None
        assert (told.trace_id, told.sampled) == (TRACE, True)
        assert told.span_id != SPAN
        assert headers["tracestate"] == "congo=t61rcWkgMzE,rojo=00f067"
        assert "baggage" not in headers
        assert gw.log()["trace_id"] == IN_XRAY


async def test_each_attempt_has_a_span_of_its_own() -> None:
    async with upstream() as bad, upstream() as good:
        many = [deployment(bad.base_url, id="m/1", priority=0), deployment(good.base_url, id="m/2", priority=1)]
        async with gateway(many, tracing=tracing(), retries=1) as gw:
            bad.will_answer({"error": {"message": "down"}}, 500)
            good.will_answer(ANSWER)
            gw.client.headers.update(SENT)
            assert (await gw.chat()).status_code == 200
            told = [parse_traceparent([one.requests[0].headers["traceparent"]]) for one in (bad, good)]
            assert all(one is not None and one.trace_id == TRACE for one in told)
            assert len({one.span_id for one in told if one is not None} | {SPAN}) == 3


async def test_without_a_clients_trace_the_log_has_the_platforms_and_the_upstream_gets_none() -> None:
    async with upstream() as up:
        platform = PLATFORM.format(0) + ";Lineage=1:a87bd80c:0"
        async with gateway([deployment(up.base_url)], tracing=tracing(platform=platform)) as gw:
            up.will_answer(ANSWER)
            await gw.chat()
            assert not {"traceparent", "tracestate", "x-amzn-trace-id"} & set(up.requests[0].headers)
            assert gw.log()["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
            assert "xray_trace_id" not in gw.log()


async def test_api_gateways_header_is_the_last_to_be_asked() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing()) as gw:
        await gw.client.get("/v1/models", headers={"x-amzn-trace-id": "Root=1-11111111-222222222222222222222222"})
        assert gw.log()["trace_id"] == "1-11111111-222222222222222222222222"
        await gw.client.get("/v1/models")
        assert "trace_id" not in gw.log()


async def test_the_platforms_trace_stays_in_the_log_beside_the_clients() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(platform=PLATFORM.format(1))) as gw:
        await gw.client.get("/v1/models", headers=SENT)
        assert gw.log()["trace_id"] == IN_XRAY
        assert gw.log()["xray_trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"


@pytest.mark.parametrize("header", ["00-0-0-00", "", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01"])
async def test_a_traceparent_that_cannot_be_read_is_not_passed_on_and_refuses_nobody(header: str) -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing()) as gw:
        up.will_answer(ANSWER)
        gw.client.headers.update({"traceparent": header, "tracestate": "a=1"})
        assert (await gw.chat()).status_code == 200
        assert not {"traceparent", "tracestate"} & set(up.requests[0].headers)


async def test_propagation_can_be_switched_off() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(Kept(), propagate=False)) as gw:
        up.will_answer(ANSWER)
        gw.client.headers.update(SENT)
        await gw.chat()
        assert "traceparent" not in up.requests[0].headers
        assert gw.log()["trace_id"] == IN_XRAY


async def ended(
    spans: Kept, *, platform: str | None = None, headers: dict[str, str] | None = None, **asked: Any
) -> RequestTrace:
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(spans, platform=platform)) as gw:
        up.will_answer(ANSWER)
        gw.client.headers.update(headers or {})
        await gw.chat(**asked)
        ((trace, record),) = spans.ended
        assert record.trace_id.replace("-", "")[1:] == trace.context.trace_id
        told = parse_traceparent([up.requests[0].headers["traceparent"]])
        assert told is not None
        assert (told.trace_id, told.span_id) == (trace.context.trace_id, trace.attempts[0].span_id)
        return trace


async def test_with_an_exporter_a_request_without_a_trace_begins_one() -> None:
    spans = Kept()
    trace = await ended(spans)
    assert (trace.parent_id, trace.context.sampled) == ("", True)
    assert spans.asked == [(None, trace.context.trace_id)]


async def test_with_an_exporter_the_clients_span_is_the_parent_and_the_platforms_trace_is_remembered() -> None:
    spans = Kept()
    trace = await ended(spans, platform=PLATFORM.format(1), headers=SENT)
    assert (trace.context.trace_id, trace.parent_id) == (TRACE, SPAN)
    assert (trace.platform_trace_id, trace.platform_span_id) == ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8")
    assert spans.asked == [(True, TRACE)]


@pytest.mark.parametrize(("sampled", "decided", "parent"), [(1, True, "53995c3f42cd8ad8"), (0, None, "")])
async def test_the_platform_is_a_parent_where_it_samples(sampled: int, decided: bool | None, parent: str) -> None:
    spans = Kept()
    trace = await ended(spans, platform=PLATFORM.format(sampled))
    assert trace.context.trace_id == "5759e988bd862e3fe1be46a994272793"
    assert spans.asked[0][0] is decided
    assert trace.parent_id == parent


async def test_what_is_not_sampled_is_passed_on_as_that_and_not_recorded() -> None:
    spans = Kept(sampled=False)
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(spans)) as gw:
        up.will_answer(ANSWER)
        gw.client.headers.update(SENT)
        await gw.chat()
        assert up.requests[0].headers["traceparent"].endswith("-00")
        assert spans.ended == []


async def test_an_attempts_span_tells_how_it_ended() -> None:
    spans = Kept()
    async with upstream() as bad, upstream() as good:
        many = [deployment(bad.base_url, id="m/1", priority=0), deployment(good.base_url, id="m/2", priority=1)]
        async with gateway(many, tracing=tracing(spans), retries=1) as gw:
            bad.will_answer({"error": {"message": "down"}}, 500)
            good.will_answer({**ANSWER, "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
            await gw.chat()
    ((trace, record),) = spans.ended
    first, second = trace.attempts
    assert (first.deployment, first.status, first.error) == ("m/1", 500, "upstream_error")
    assert (second.deployment, second.status, second.error) == ("m/2", 200, "")
    assert (second.prompt_tokens, second.completion_tokens, second.finish) == (3, 2, "stop")
    assert second.url == f"{good.base_url}/v1/chat/completions"
    assert first.ended_s is not None
    assert second.ended_s is not None
    assert record.started_s <= first.started_s <= first.ended_s <= second.started_s <= second.ended_s <= record.ended_s
    assert trace.route == "/v1/chat/completions"


async def test_a_stream_that_breaks_is_a_span_that_failed() -> None:
    spans = Kept()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(spans)) as gw:
        piece = event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
        up.will(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n", chunk(piece), Cut()
        )
        await gw.chat(stream=True)
    ((trace, record),) = spans.ended
    assert record.broken
    assert (trace.attempts[0].status, trace.attempts[0].error) == (200, "stream_broken")


async def test_the_attempt_that_was_slower_left_without_an_outcome() -> None:
    spans = Kept()
    async with upstream() as slow, upstream() as fast:
        many = [deployment(slow.base_url, id="m/1", priority=0), deployment(fast.base_url, id="m/2", priority=1)]
        async with gateway(many, tracing=tracing(spans), hedge_after_s=0.05) as gw:
            slow.will(Hang())
            fast.will_answer(ANSWER)
            assert (await gw.chat()).status_code == 200
    ((trace, _),) = spans.ended
    assert [(span.deployment, span.left, span.error) for span in trace.attempts] == [("m/1", True, ""), ("m/2", False, "")]


async def test_counting_tokens_is_an_attempt_too() -> None:
    spans = Kept()
    async with upstream() as up:
        claude = deployment(up.base_url, provider="anthropic", dialects=("messages",))
        async with gateway([claude], tracing=tracing(spans)) as gw:
            up.will_answer({"input_tokens": 5})
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            answer = await gw.client.post("/v1/messages/count_tokens", json=body)
            assert answer.json() == {"input_tokens": 5}
            assert "traceparent" in up.requests[0].headers
    ((trace, _),) = spans.ended
    assert (trace.attempts[0].status, trace.attempts[0].error, trace.route) == (200, "", "/v1/messages/count_tokens")


async def test_a_stream_that_went_well_tells_when_it_began_and_what_it_used() -> None:
    spans = Kept()
    async with upstream() as up, gateway([deployment(up.base_url)], tracing=tracing(spans)) as gw:
        piece = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}
        used = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        up.will_stream(event(piece), event(used), event("[DONE]"))
        await gw.chat(stream=True)
    ((trace, record),) = spans.ended
    (span,) = trace.attempts
    assert (span.status, span.error, span.left, span.prompt_tokens) == (200, "", False, 3)
    assert span.first_event_s is not None
    assert span.ended_s is not None
    assert span.started_s <= span.first_event_s <= span.ended_s <= record.ended_s
