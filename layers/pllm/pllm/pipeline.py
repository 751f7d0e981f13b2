"""One request's way through the house: route, translate, call, translate back. Fallback is this loop and nothing else.

Nothing is committed to the client before an upstream has answered and its first event was seen (or it has been silent for
`COMMIT_AFTER_S` after answering 200), so until then any failure is a real status code and another deployment may take over.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from pllm.core.clock import Clock
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject, loads
from pllm.core.record import RequestRecord
from pllm.core.routing import Attempt, Catalogue, attempts, backoff_s
from pllm.providers.base import Provider, ProviderRow, Timeouts, Transport, UpstreamResponse
from pllm.providers.copies import send_copies
from pllm.providers.media import MediaFetcher
from pllm.relay import LiveStream, note_usage
from pllm.translation import Fetch, Translation, target_of
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target, WireRequest

COMMIT_AFTER_S = 15.0
"""An upstream that answered 200 and then stays silent this long gets its status committed, so that the client can be sent
keep-alive comments instead of nothing."""

# A provider that asks for a longer pause than this is not waited for: the client is told, and knows better what to do.
_LONGEST_WAIT_S = 10.0

# Trying the same deployment again cannot help where it refused our credential.
_ELSEWHERE_ONLY = frozenset({ErrorKind.UPSTREAM_AUTH})


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed client request. `dialect`: what the client speaks. `forward`: headers that travel along when the upstream
    speaks the same dialect. `deadline_s`: monotonic; None when there is none. `native`: a call without a neutral form, which
    makes its own lanes; `body` is then empty."""

    dialect: str
    model: str
    body: JsonObject
    stream: bool
    record: RequestRecord
    forward: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None
    native: NativeCall | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send: a whole `body`, or `pieces` of whole events. `close` must be awaited after the last byte. `final` gives the
    JSON object that the client has in the end, None when it has none: for storing it."""

    headers: Mapping[str, str]
    content_type: str
    body: bytes = b""
    pieces: AsyncGenerator[bytes] | None = None
    close: Callable[[], Awaitable[None]] | None = None
    final: Callable[[], Mapping[str, Any] | None] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider and its row: who answers for a deployment."""

    provider: Provider
    row: ProviderRow


@dataclass(frozen=True)
class Pipeline:
    """Everything a request needs, injected once. `retries` counts further tries on the same model; `attempt_timeout_s`
    bounds one try up to its first event or, when buffered, its whole answer."""

    catalogue: Catalogue
    endpoints: Mapping[str, Endpoint]
    transport: Transport
    clock: Clock
    random: Random
    retries: int = 1
    attempt_timeout_s: float = 600.0
    drop_unsupported: bool = False
    repair_history: bool = False
    media: MediaFetcher | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, call: Call) -> Reply:
        """The answer to `call`; raises GatewayError when no deployment could give one."""
        models = _able([self.catalogue.models[name] for name in self.catalogue.resolve(call.model)], call.native)
        call.record.model = call.model  # only now: a name that does not exist must not become a metric's dimension
        translation = Translation(call.dialect, call.body, self._context(call), call.native, self.fetcher(call))
        failure: GatewayError | None = None
        refused: set[str] = set()
        for attempt in attempts(models, self.retries, self.random):
            if attempt.deployment.id in refused or (failure and not await self._may_go_on(attempt, failure, call)):
                continue
            try:
                return await self._attempt(attempt.deployment, call, translation)
            except GatewayError as error:
                call.record.failed.append(f"{attempt.deployment.id}: {error.kind.value}")
                if not error.retryable:
                    raise
                if error.kind in _ELSEWHERE_ONLY:
                    refused.add(attempt.deployment.id)
                failure = error
        raise failure or GatewayError(ErrorKind.UNAVAILABLE, f"No deployment of {call.model!r} is usable.")

    async def _may_go_on(self, attempt: Attempt, failure: GatewayError, call: Call) -> bool:
        """Waits before a deployment is tried again, as long as the client's deadline and the provider's wish allow."""
        if attempt.repeat == 0:
            return True
        wait_s = max(backoff_s(attempt.repeat, self.random), failure.retry_after_s or 0.0)
        if wait_s > min(_LONGEST_WAIT_S, self.remaining_s(call)):
            return False
        await self.sleep(wait_s)
        return True

    async def _attempt(self, deployment: Deployment, call: Call, translation: Translation) -> Reply:
        endpoint = self.endpoints[deployment.provider]
        lane, dialect = await translation.lane(deployment, self.target(deployment, call.model))
        _note_attempt(call.record, deployment, lane)
        wire = lane.request
        if dialect == call.dialect and call.forward:
            wire = replace(wire, headers={**call.forward, **wire.headers})
        timeout_s = min(self.attempt_timeout_s, deployment.timeout_s, self.remaining_s(call))
        sent_s = self.clock.monotonic_s()
        try:
            async with asyncio.timeout(timeout_s):
                http = await endpoint.provider.prepare(deployment, wire, dialect)
                timeouts = Timeouts(first_byte_s=timeout_s, idle_s=deployment.stream_idle_timeout_s)
                response = await send_copies(self.transport, http, timeouts, wire.copies)
                call.record.upstream_s += self.clock.monotonic_s() - sent_s
                return await self._answer(response, lane, deployment, call, sent_s)
        except TimeoutError:
            raise _too_slow(deployment, timeout_s) from None

    async def _answer(self, response: UpstreamResponse, lane: Lane, deployment: Deployment, call: Call, sent_s: float) -> Reply:
        try:
            if not 200 <= response.status < 300:
                raise lane.error(response.status, response.headers, await response.read())
            if _is_stream(lane.request, response):
                return await self._stream(response, lane, deployment, call, sent_s)
            asked_s = self.clock.monotonic_s()
            body = await response.read()
            call.record.upstream_s += self.clock.monotonic_s() - asked_s
            answer = lane.answer(body, response.headers.get("content-type", ""))
        except BaseException:
            await response.close()
            raise
        note_usage(call.record, answer.usage, answer.finish)
        return Reply(
            self.headers(call.record),
            answer.content_type,
            answer.body,
            close=response.close,
            final=partial(loads, answer.body),
        )

    async def _stream(self, response: UpstreamResponse, lane: Lane, deployment: Deployment, call: Call, sent_s: float) -> Reply:
        live = LiveStream(response, lane.relay(), call.record, self.clock)
        events = lane.request.stream_type
        try:
            await live.open(COMMIT_AFTER_S if events else None)  # bytes have no keep-alive for which to commit
        except BaseException:
            await live.close()
            raise
        limit_s = sent_s + min(deployment.timeout_s, self.remaining_s(call))
        live.end_at(limit_s, _too_slow(deployment, limit_s - sent_s))
        content_type = events or response.headers.get("content-type") or "application/octet-stream"
        return Reply(self.headers(call.record), content_type, pieces=live.pieces(), close=live.close, final=live.final)

    def target(self, deployment: Deployment, public_name: str) -> Target:
        """What a request is encoded for when `deployment` is to answer it."""
        return target_of(
            deployment,
            self.endpoints[deployment.provider].row,
            public_name,
            drop_unsupported=self.drop_unsupported,
            repair_history=self.repair_history,
        )

    def fetcher(self, call: Call) -> Fetch | None:
        """What brings the media that the client named by address, in the time that is left."""
        media = self.media
        return None if media is None else lambda wanted: media.fetch(wanted, self.remaining_s(call))

    def remaining_s(self, call: Call) -> float:
        """Until the platform would end this request; infinite where it never does."""
        return float("inf") if call.deadline_s is None else max(call.deadline_s - self.clock.monotonic_s(), 0.0)

    def _context(self, call: Call) -> AnswerContext:
        return AnswerContext(call.model, int(self.clock.wall_s()), f"{self.random.getrandbits(96):024x}")

    def headers(self, record: RequestRecord) -> dict[str, str]:
        """Who answered, how often it was tried, what the request lost on the way, and its cost where that is known by now."""
        overhead_ms = (self.clock.monotonic_s() - record.started_s - record.upstream_s) * 1000
        headers = {
            "x-pllm-model": record.model,
            "x-pllm-provider": record.provider,
            "x-pllm-deployment": record.deployment,
            "x-pllm-attempts": str(record.attempts),
            "x-pllm-overhead-ms": f"{max(overhead_ms, 0):.2f}",
        }
        headers["x-pllm-dropped"] = ", ".join(record.dropped)
        headers["x-pllm-emulated"] = ", ".join(record.emulated)
        if record.cost_micro_usd is not None:
            headers["x-pllm-cost-usd"] = f"{record.cost_micro_usd / 1_000_000:.6f}"
        return {name: value for name, value in headers.items() if value}


def _able(models: Sequence[Sequence[Deployment]], native: NativeCall | None) -> Sequence[Sequence[Deployment]]:
    """Those that can serve the call. Raises why the first cannot when none can."""
    if native is None:
        return models
    able = [[one for one in deployments if native.refusal(one) is None] for deployments in models]
    if not any(able) and (refusal := native.refusal(models[0][0])) is not None:
        raise refusal
    return able


def _is_stream(request: WireRequest, response: UpstreamResponse) -> bool:
    if request.stream and request.may_come_whole:
        return response.headers.get("content-type", "").startswith("text/event-stream")
    return request.stream


def _note_attempt(record: RequestRecord, deployment: Deployment, lane: Lane) -> None:
    record.attempts += 1
    record.deployment = deployment.id
    record.provider = deployment.provider
    record.upstream_model = deployment.model
    record.prices = deployment.profile.prices
    record.dropped = lane.dropped
    record.emulated = lane.emulated


def _too_slow(deployment: Deployment, limit_s: float) -> GatewayError:
    return GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"{deployment.id} did not finish within {limit_s:.0f} s.")
