"""One attempt: one request to one deployment, up to its first event or its whole answer, and what is learnt of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from pllm.call import Call, Endpoint, Reply
from pllm.core.clock import Clock
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError, malformed_upstream
from pllm.core.header_text import header_list, header_text
from pllm.core.jsontext import loads
from pllm.core.record import RequestRecord
from pllm.estimating import note_estimate
from pllm.providers.base import HttpRequest, Timeouts, Transport, UpstreamResponse, error_body
from pllm.providers.copies import PartlyAnswered, send_copies
from pllm.relay import LiveStream, note_usage
from pllm.state.health import Health, Observation
from pllm.translation import Translation, target_of
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import Answer, GatheringLane, Lane, Part, Target, WireRequest
from pllm.wire.sse import comment

if TYPE_CHECKING:
    from pllm.core.request_trace import AttemptSpan
    from pllm.providers.gathering import Gathered

COMMIT_AFTER_S = 15.0
"""An upstream that answered 200 and then stays silent this long gets its status committed, so that the client can be sent
keep-alive comments instead of nothing."""


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt under way. `hurried`: the client's deadline is nearer than the deployment's own limit. `span`: None where
    nobody traces."""

    call: Call
    deployment: Deployment
    lane: Lane
    wire: WireRequest
    dialect: UpstreamDialect
    watched: Observation
    sent_s: float
    timeout_s: float
    hurried: bool
    span: "AttemptSpan | None"

    @property
    def record(self) -> RequestRecord:
        return self.call.record

    def begun(self) -> None:
        """From here on it may be billed."""
        self.record.billable = True

    def refused(self, error: GatewayError) -> None:
        """An answer that is an error bills nothing, though it has a good status; of several the others may be no errors."""
        several = self.wire.copies > 1 or self.wire.bodies
        if (error.upstream_status is not None or error.upstream_type is not None) and not several:
            self.record.billable = False

    def failed(self, error: GatewayError, now_s: float) -> None:
        """Being slower than a client's deadline says nothing against a deployment."""
        if self.span is not None:
            self.span.end(now_s, error.kind.value)
        if self.hurried and error.kind is ErrorKind.UPSTREAM_TIMEOUT:
            self.watched.dropped()
        else:
            self.watched.failed(error)

    def dropped(self, now_s: float) -> None:
        """It ended without an outcome."""
        if self.span is not None:
            self.span.end(now_s, left=True)
        self.watched.dropped()

    def succeeded(self, now_s: float, first_event_s: float | None = None) -> None:
        if self.span is not None:
            self.span.end(now_s)
            self.span.note(self.record)
            self.span.first_event_s = first_event_s
        first_ms = None if first_event_s is None else (first_event_s - self.sent_s) * 1000
        tokens = self.record.prompt_tokens + self.record.completion_tokens
        self.watched.succeeded((now_s - self.sent_s) * 1000, first_ms, tokens)


@dataclass(frozen=True)
class Upstreams:
    """All deployments' providers behind one method. `attempt_timeout_s` bounds one try up to its first event or, when
    buffered, its whole answer."""

    endpoints: Mapping[str, Endpoint]
    transport: Transport
    clock: Clock
    health: Health
    attempt_timeout_s: float = 600.0
    drop_unsupported: bool = False
    repair_history: bool = False

    async def attempt(self, deployment: Deployment, call: Call, translation: Translation, watched: Observation) -> Reply:
        """The deployment's answer, or GatewayError. However it ends, `watched` is told."""
        try:
            trying = await self._translated(deployment, call, translation, watched)
        except BaseException:
            watched.dropped()  # nothing was sent
            raise
        try:
            return await self._send(trying)
        except GatewayError as error:
            trying.refused(error)
            trying.failed(error, self.clock.monotonic_s())
            raise
        except BaseException:
            trying.dropped(self.clock.monotonic_s())
            raise

    def timeout_s(self, deployment: Deployment, call: Call) -> float:
        """The longest that an attempt may go without its first event."""
        return min(self.attempt_timeout_s, deployment.timeout_s, self.remaining_s(call))

    def remaining_s(self, call: Call) -> float:
        """Until the platform would end this request; infinite where it never does."""
        return float("inf") if call.deadline_s is None else max(call.deadline_s - self.clock.monotonic_s(), 0.0)

    def target(self, deployment: Deployment, public_name: str) -> Target:
        """What a request is encoded for when `deployment` is to answer it."""
        return target_of(
            deployment,
            self.endpoints[deployment.provider].row,
            public_name,
            drop_unsupported=self.drop_unsupported,
            repair_history=self.repair_history,
        )

    def headers(self, record: RequestRecord) -> dict[str, str]:
        """Who answered, how often it was tried, what the request lost on the way, and its cost where that is known by now."""
        overhead_ms = (self.clock.monotonic_s() - record.started_s - record.upstream_s) * 1000
        headers = {
            "x-pllm-model": header_text(record.model),
            "x-pllm-provider": header_text(record.provider),
            "x-pllm-deployment": header_text(record.deployment),
            "x-pllm-attempts": str(record.attempts),
            "x-pllm-overhead-ms": f"{max(overhead_ms, 0):.2f}",
        }
        headers["x-pllm-dropped"] = header_list(record.dropped)
        headers["x-pllm-emulated"] = header_list(record.emulated)
        headers["x-pllm-state"] = "degraded" if self.health.degraded else ""
        headers |= _cost(record)
        return {name: value for name, value in headers.items() if value}

    async def _translated(self, deployment: Deployment, call: Call, translation: Translation, watched: Observation) -> _Try:
        began_s = self.clock.monotonic_s()
        lane, dialect = await translation.lane(deployment, self.target(deployment, call.model))
        call.record.translate_s += self.clock.monotonic_s() - began_s
        _note_attempt(call.record, deployment, lane)
        wire = lane.request
        if dialect != call.dialect:
            # What they switch on is one provider's own; its version header asks for nothing that a translation loses.
            call.record.dropped += tuple(name for name in call.forward if name.endswith("-beta"))
        elif call.forward:
            wire = replace(wire, headers={**call.forward, **wire.headers})
        timeout_s = self.timeout_s(deployment, call)
        hurried = self.remaining_s(call) <= timeout_s
        sent_s = self.clock.monotonic_s()
        span = None
        if call.trace is not None:
            span = call.trace.attempt(deployment, sent_s)
            wire = replace(wire, headers={**wire.headers, **call.trace.headers(span)})
        return _Try(call, deployment, lane, wire, dialect, watched, sent_s, timeout_s, hurried, span)

    async def _send(self, trying: _Try) -> Reply:
        deployment, wire = trying.deployment, trying.wire
        try:
            async with asyncio.timeout(trying.timeout_s):
                if wire.bodies:
                    return await self._gathered(trying)
                http = await self.endpoints[deployment.provider].provider.prepare(deployment, wire, trying.dialect)
                if trying.span is not None:
                    trying.span.url = http.url.partition("?")[0]
                http = http.telling(trying.begun)
                try:
                    response = await send_copies(self.transport, http, _timeouts(trying), wire.copies)
                finally:
                    trying.record.upstream_s += self.clock.monotonic_s() - trying.sent_s
                if trying.span is not None:
                    trying.span.status = response.status
                return await self._answer(response, trying)
        except TimeoutError:
            raise _too_slow(deployment, trying.timeout_s) from None

    async def _gathered(self, trying: _Try) -> Reply:
        """The answer that several calls make together."""
        from pllm.providers.gathering import gather  # for those who need it

        lane, record = cast("GatheringLane", trying.lane), trying.record
        provider = self.endpoints[trying.deployment.provider].provider

        async def prepare(call: WireRequest) -> HttpRequest:
            http = await provider.prepare(trying.deployment, call, trying.dialect)
            if trying.span is not None:
                trying.span.url = http.url.partition("?")[0]
            return http.telling(trying.begun)

        try:
            found = await gather(self.transport, prepare, trying.wire, _timeouts(trying))
        finally:
            came_s = self.clock.monotonic_s()
            record.upstream_s += came_s - trying.sent_s
        if trying.span is not None:
            trying.span.status = _status(found)
        if found.failure is not None:
            note_usage(record, lane.used(found.parts), None)  # the calls that were answered are billed all the same
            record.billable = record.billable and found.lost
            raise _error(lane, found.failure)
        answer = lane.gathered(found.parts)
        record.translate_s += self.clock.monotonic_s() - came_s
        return self._whole(trying, answer)

    async def _answer(self, response: UpstreamResponse, trying: _Try) -> Reply:
        lane, record = trying.lane, trying.record
        try:
            if not 200 <= response.status < 300:
                record.billable = isinstance(response, PartlyAnswered)
                raise lane.error(response.status, response.headers, await error_body(response))
            if _is_stream(lane.request, response):
                return await self._stream(response, trying)
            asked_s = self.clock.monotonic_s()
            try:
                body = await response.read()
            finally:
                came_s = self.clock.monotonic_s()
                record.upstream_s += came_s - asked_s
            answer = lane.answer(body, response.headers.get("content-type", ""))
            record.translate_s += self.clock.monotonic_s() - came_s
        except BaseException:
            await response.close()
            raise
        return replace(self._whole(trying, answer), close=response.close)

    def _whole(self, trying: _Try, answer: Answer) -> Reply:
        record = trying.record
        note_usage(record, answer.usage, answer.finish)
        record.estimated = answer.estimated
        record.billable = answer.usage is None
        trying.succeeded(self.clock.monotonic_s())
        return Reply(self.headers(record), answer.content_type, answer.body, final=partial(loads, answer.body))

    async def _stream(self, response: UpstreamResponse, trying: _Try) -> Reply:
        events = trying.lane.request.stream_type
        judge = partial(_instead_of_a_stream, trying.lane) if events else None
        live = LiveStream(response, trying.lane.relay(), trying.record, self.clock, judge)
        try:
            await live.open(COMMIT_AFTER_S if events else None)  # bytes have no keep-alive for which to commit
        except BaseException:
            await live.close()
            raise
        if live.first_event_s is not None:
            trying.watched.first_event()
        deployment = trying.deployment
        limit_s = trying.sent_s + min(deployment.timeout_s, self.remaining_s(trying.call))
        live.end_at(limit_s, _too_slow(deployment, limit_s - trying.sent_s))
        content_type = events or response.headers.get("content-type") or "application/octet-stream"
        if trying.call.cost_wanted and content_type.startswith("text/event-stream"):
            live.last_words = partial(_told_cost, live, trying)
        close = partial(self._close, live, trying)
        return Reply(self.headers(trying.record), content_type, pieces=live.pieces(), close=close, final=live.final)

    async def _close(self, live: LiveStream, trying: _Try) -> None:
        """After the client's last byte: now it is known how the stream ended."""
        ended_s = self.clock.monotonic_s()
        await live.close()
        if live.whole:
            trying.succeeded(ended_s, live.first_event_s)
        elif live.failure is not None:
            replace(trying, hurried=trying.hurried or self.remaining_s(trying.call) <= 0).failed(live.failure, ended_s)
        else:
            trying.dropped(ended_s)  # its client left
        _complete(live, trying)


def _timeouts(trying: _Try) -> Timeouts:
    return Timeouts(first_byte_s=trying.timeout_s, idle_s=trying.deployment.stream_idle_timeout_s)


def _status(found: "Gathered") -> int:
    if found.failure is None:
        return found.parts[0].status
    return found.failure.status if isinstance(found.failure, Part) else 0


def _error(lane: Lane, failure: Part | GatewayError) -> GatewayError:
    return failure if isinstance(failure, GatewayError) else lane.error(failure.status, failure.headers, failure.body)


def _instead_of_a_stream(lane: Lane, body: bytes) -> GatewayError:
    try:
        lane.answer(body, "application/json")
    except GatewayError as error:
        if error.kind is not ErrorKind.UPSTREAM_PROTOCOL:
            return error
    return malformed_upstream("a stream was asked for and JSON came")


def _complete(live: LiveStream, trying: _Try) -> None:
    """The record of what was used, with an estimate of what its provider did not say."""
    trying.record.billable = live.produced is None and live.usage is None
    if live.produced is not None and not (live.whole and live.usage is not None):
        note_estimate(trying.record, trying.call, trying.deployment, live.usage, live.produced)


def _told_cost(live: LiveStream, trying: _Try) -> bytes:
    """What a whole answer says in headers, as a comment: whoever reads events does not see it."""
    _complete(live, trying)
    return comment(*(f"{name}: {value}" for name, value in _cost(trying.record).items()))


def _cost(record: RequestRecord) -> dict[str, str]:
    """As headers; none where it is not known."""
    if record.cost_micro_usd is None:
        return {}
    cost = {"x-pllm-cost-usd": f"{record.cost_micro_usd / 1_000_000:.6f}"}
    return cost | {"x-pllm-estimated": "true"} if record.estimated else cost


def _is_stream(request: WireRequest, response: UpstreamResponse) -> bool:
    if request.stream and request.may_come_whole:
        return response.headers.get("content-type", "").startswith("text/event-stream")
    return request.stream


def _note_attempt(record: RequestRecord, deployment: Deployment, lane: Lane) -> None:
    record.attempts += 1
    record.billable = False
    record.deployment = deployment.id
    record.provider = deployment.provider
    record.upstream_model = deployment.model
    record.prices = deployment.profile.prices
    record.dropped = lane.dropped
    record.emulated = lane.emulated


def _too_slow(deployment: Deployment, limit_s: float) -> GatewayError:
    return GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"{deployment.id} did not finish within {limit_s:.0f} s.")
