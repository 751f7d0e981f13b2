"""Sends spans to a collector: OTLP over HTTP, in JSON, after a client's last byte and before the invocation ends.

A collector that does not answer costs an invocation its timeout, and a request nothing. After three failures in a row it is
left alone for half a minute. What could not be sent is lost, counted, and said once.
"""

import asyncio
import gzip
from collections.abc import Mapping, Sequence

from pllm.core.clock import Clock
from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonError, loads
from pllm.core.record import RequestRecord
from pllm.core.request_trace import RequestTrace
from pllm.providers.base import HttpRequest, Timeouts, Transport, UpstreamResponse
from pllm.telemetry.log import Emit, crash_site
from pllm.telemetry.otlp_json import export_request
from pllm.telemetry.otlp_settings import OtlpSettings, resource_of
from pllm.telemetry.spans import Finished, spans_of
from pllm.telemetry.tracing import Request

FAILURES = 3
PAUSE_S = 30.0

# Requests that end while a batch is under way wait for the next one; more than these are lost.
_MOST_WAITING = 256


class OtlpExporter:
    """One for each configuration. See `telemetry.tracing.Spans`. `environment` says who reports, when first asked."""

    def __init__(
        self,
        settings: OtlpSettings,
        environment: Mapping[str, str],
        transport: Transport,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._transport = transport
        self._clock = clock
        self._emit = emit
        self._waiting: list[Finished] = []
        self._failures = 0
        self._lost = 0
        self._paused_until_s = 0.0

    def samples(self, parent: bool | None, trace_id: str) -> bool:
        return self._settings.sampler(parent, trace_id)

    def add(self, trace: RequestTrace, record: RequestRecord, request: Request) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._lost += 1
            return
        epoch_s = self._clock.wall_s() - self._clock.monotonic_s()
        self._waiting.append(Finished(trace, record, request.method, request.scheme, request.path, epoch_s))

    async def flush(self) -> None:
        """Sends what waits. Never raises, and takes no longer than the settings say."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        if self._clock.wall_s() < self._paused_until_s:
            self._lost += len(batch)
            return
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                why = await self._sent(batch)
        except TimeoutError:
            why = f"it did not answer within {self._settings.timeout_s:g} s"
        except GatewayError as error:
            why = error.message
        except Exception as error:  # noqa: BLE001 - the client has its answer; a bug here must not look like one of its request
            why = crash_site(error)
        if why:
            self._failed(len(batch), why)
        else:
            self._worked()

    async def _sent(self, batch: Sequence[Finished]) -> str:
        """Why the collector did not take it, "" where it did. Raises GatewayError."""
        spans = [span for finished in batch for span in spans_of(finished)]
        body = export_request(spans, resource_of(self._environment, self._settings.resource))
        headers = {**self._settings.headers, "content-type": "application/json", "user-agent": "pllm"}
        if self._settings.gzip:
            body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
        limit_s = self._settings.timeout_s
        response = await self._transport.send(
            HttpRequest(self._settings.url, headers, body), Timeouts(limit_s, limit_s, limit_s)
        )
        try:
            return await _refusal(response)
        finally:
            await response.close()

    def _failed(self, lost: int, why: str) -> None:
        self._lost += lost
        self._failures += 1
        if self._failures >= FAILURES:
            self._paused_until_s = self._clock.wall_s() + PAUSE_S
        if self._failures == 1:
            self._emit({"level": "WARN", "message": "tracing", "warning": f"spans were not taken by the collector: {why}"})

    def _worked(self) -> None:
        if self._failures:
            note = "spans are taken by the collector again"
            self._emit({"level": "INFO", "message": "tracing", "note": note, "requests_without_spans": self._lost})
        self._failures = self._lost = 0


async def _refusal(response: UpstreamResponse) -> str:
    body = await response.read()
    if not 200 <= response.status < 300:
        return f"it answered {response.status}"
    if not body or not response.headers.get("content-type", "").startswith("application/json"):
        return ""
    try:
        answer = loads(body)
    except JsonError:
        return ""
    partial = answer.get("partialSuccess") if isinstance(answer, dict) else None
    rejected = str(partial.get("rejectedSpans") or "0") if isinstance(partial, dict) else "0"
    return "" if rejected == "0" else f"it refused {rejected[:20]} of them"
