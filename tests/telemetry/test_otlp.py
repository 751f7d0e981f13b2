"""The exporter, against a collector on loopback: what it sends, and what a collector that fails costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.support.collector import Collector
from tests.support.upstream import Hang, upstream

from pllm.core.clock import ManualClock
from pllm.core.record import RequestRecord
from pllm.core.request_trace import RequestTrace
from pllm.core.trace_context import TraceContext
from pllm.edge.http import HttpRequest
from pllm.providers.transport import AiohttpTransport
from pllm.telemetry.otlp import FAILURES, PAUSE_S, OtlpExporter
from pllm.telemetry.otlp_settings import OtlpSettings


class World:
    """An exporter to a collector, its clock and its log lines."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.clock = ManualClock()
        self.lines: list[dict[str, Any]] = []
        self.transport = AiohttpTransport(self.clock)
        given = OtlpSettings(f"{url}/v1/traces", timeout_s=5.0)
        self.exporter = OtlpExporter(replace(given, **settings), {}, self.transport, self.clock, self.lines.append)

    def request(self, span_id: str = "b" * 16) -> None:
        record = RequestRecord("r", "chat", self.clock.monotonic_s(), status=200, ended_s=self.clock.monotonic_s())
        trace = RequestTrace(TraceContext("a" * 32, span_id, 1), Random(1).getrandbits, recorded=True)
        scope = {"method": "POST", "path": "/v1/chat/completions", "headers": []}
        self.exporter.add(trace, record, HttpRequest(scope, _nothing))


async def _nothing() -> Any:
    raise AssertionError("the exporter reads no body")


@asynccontextmanager
async def world(url: str, **settings: Any) -> AsyncIterator[World]:
    made = World(url, **settings)
    try:
        yield made
    finally:
        await made.transport.close()


async def test_requests_that_wait_are_sent_together() -> None:
    with Collector() as collector:
        async with world(collector.url, headers={"authorization": "Bearer t"}) as made:
            made.request("1" * 16)
            made.request("2" * 16)
            await made.exporter.flush()
            await made.exporter.flush()
        assert collector.paths == ["/v1/traces"]
        assert [span.span_id for span in collector.spans] == ["1" * 16, "2" * 16]
        assert collector.headers[0]["content-type"] == "application/json"
        assert collector.headers[0]["authorization"] == "Bearer t"
        assert collector.spans[0].resource["service.name"] == "pllm"
        assert made.lines == []


async def test_a_body_may_be_packed() -> None:
    with Collector() as collector:
        async with world(collector.url, gzip=True) as made:
            made.request()
            await made.exporter.flush()
        assert collector.headers[0]["content-encoding"] == "gzip"
        assert len(collector.spans) == 1


async def test_a_collector_that_fails_is_said_once_and_so_is_its_recovery() -> None:
    with Collector((503, b""), (503, b""), (200, b"{}")) as collector:
        async with world(collector.url) as made:
            for _ in range(3):
                made.request()
                await made.exporter.flush()
        first, second = made.lines
        assert (first["level"], first["message"]) == ("WARN", "tracing")
        assert "it answered 503" in first["warning"]
        assert (second["level"], second["requests_without_spans"]) == ("INFO", 2)


async def test_a_collector_that_refuses_a_part_is_said() -> None:
    with Collector((200, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}')) as collector:
        async with world(collector.url) as made:
            made.request()
            await made.exporter.flush()
        assert "it refused 1 of them" in made.lines[0]["warning"]


@pytest.mark.parametrize("answer", [b"", b"not json", b"[]", b'{"partialSuccess":{}}', b'{"partialSuccess":null}'])
async def test_any_other_answer_with_a_200_is_a_yes(answer: bytes) -> None:
    with Collector((200, answer)) as collector:
        async with world(collector.url) as made:
            made.request()
            await made.exporter.flush()
        assert made.lines == []


async def test_nobody_listening_is_said() -> None:
    with Collector() as gone:
        url = gone.url
    async with world(url) as made:
        made.request()
        await made.exporter.flush()
        assert "could not be reached" in made.lines[0]["warning"]


async def test_after_three_failures_in_a_row_a_collector_is_left_alone_for_a_while() -> None:
    with Collector((500, b""), (500, b""), (500, b""), (200, b"{}")) as collector:
        async with world(collector.url) as made:
            for _ in range(5):
                made.request()
                await made.exporter.flush()
            assert len(collector.paths) == FAILURES
            made.clock.advance(PAUSE_S)
            made.request()
            await made.exporter.flush()
            assert len(collector.paths) == FAILURES + 1
        assert made.lines[-1]["requests_without_spans"] == 5


async def test_a_collector_that_hangs_costs_no_more_than_its_timeout() -> None:
    async with upstream() as collector, world(collector.base_url, timeout_s=0.5) as made:
        collector.will(Hang())
        made.request()
        async with asyncio.timeout(5):
            await made.exporter.flush()
        assert collector.requests[0].path == "/v1/traces"
        assert "did not answer within 0.5 s" in made.lines[0]["warning"]


async def test_what_waits_is_bounded() -> None:
    with Collector() as collector:
        async with world(collector.url) as made:
            for _ in range(300):
                made.request()
            await made.exporter.flush()
        assert len(collector.spans) == 256
