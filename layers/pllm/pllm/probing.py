"""Health probes: one run over all deployments, a few at a time, each by the breaker's own rules.

An open deployment is asked by whoever wins its lease, as requests are, so there is one probe a cool-down whoever makes it. A
failure that is found counts as a request's does. A good answer is told to nobody's latency: a list of models comes sooner than
a poem.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from urllib.parse import quote

from pllm.attempt import Upstreams
from pllm.call import Call
from pllm.core.breaker_policy import Impact, impact_of
from pllm.core.config.schema import HealthProbes
from pllm.core.counters import UNCLEAR, probed
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.evidence import Evidence
from pllm.core.jsontext import JsonObject
from pllm.core.probing import Due, Reason, due, failure_of
from pllm.core.record import RequestRecord
from pllm.core.routing import Catalogue
from pllm.providers.base import LISTING, Checkup, HttpRequest, ProviderRow, Timeouts
from pllm.state.counters import Counters
from pllm.state.fleet_reader import FleetReader
from pllm.state.health import Observation
from pllm.state.store import StateError
from pllm.telemetry.log import Emit, crash_site
from pllm.telemetry.probe_line import emit_probe, emit_run
from pllm.translation import Translation, first_dialect
from pllm.wire.lane import AnswerContext, WireRequest
from pllm.wire.lanes import client_wire, upstream_wire
from pllm.wire.translator import CountingWire

AT_ONCE = 8
"""Probes under way at one time: one that hangs holds up nobody, and a hundred deployments are no flood."""

_QUESTION: JsonObject = {"messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}


class Outcome(StrEnum):
    """LOST: another environment had the lease. LATE: the run's time was over."""

    OK = "ok"
    FAILED = "failed"
    UNCLEAR = "unclear"
    LOST = "lost"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one. `why`: the value of an errors.ErrorKind where it failed."""

    outcome: Outcome
    why: str = ""


class _UnclearError(Exception):
    """What answered says nothing of the deployment."""


@dataclass(frozen=True)
class Prober:
    """`upstreams.attempt_timeout_s` is the settings' `timeout`. `function`: for metrics."""

    catalogue: Catalogue
    settings: HealthProbes
    upstreams: Upstreams
    fleet: FleetReader
    counters: Counters
    emit: Emit
    function: str

    async def run(self, budget_s: float) -> dict[str, int]:
        """Asks what is due and tells of it; gives the number of probes by outcome. Raises StateError when the table cannot be
        asked: without it nobody knows what is due."""
        asked = await self._due()
        counts = Counter({outcome.value: 0 for outcome in Outcome})
        turns = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(self._turn(one, turns, counts)) for one in asked]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=budget_s)
        finally:
            late = [task for task in tasks if not task.done()]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        counts[Outcome.LATE.value] += len(late)
        await self.upstreams.health.settle()
        await self.counters.flush()
        emit_run(self.emit, self.function, dict(counts), self._now_ms())
        return dict(counts)

    async def _due(self) -> list[Due]:
        health = self.upstreams.health
        await health.refresh(wait=False)  # a failure that is found must name the generation it was found in
        fleet = await self.fleet.read_deployments()
        await health.settle()
        if health.cold:
            raise StateError("unreachable", sent=False)  # it was asked at the same time, and failed alone
        if not self.settings.enabled:
            return []
        self._warn_of_nobody()
        candidates = list(self._candidates())
        view = health.view([deployment.id for deployment, _ in candidates])
        return due(candidates, view, fleet.last_heard_ms(), self.settings.idle_after, self._now_ms())

    def _candidates(self) -> Iterator[tuple[Deployment, Evidence]]:
        for deployment in self.catalogue.deployments():
            row = self.upstreams.endpoints[deployment.provider].row
            if not _named(row, self.settings.providers):
                continue
            if deployment.profile.mode == "chat" and _named(row, self.settings.paid):
                yield deployment, Evidence.MODEL
            elif (checkup := _checkup(deployment, row)) is not None:
                yield deployment, checkup.proves

    def _warn_of_nobody(self) -> None:
        rows = [endpoint.row for endpoint in self.upstreams.endpoints.values()]
        for pattern in (*self.settings.providers, *self.settings.paid):
            if not any(_named(row, [pattern]) for row in rows):
                warning = f"router.health_probes names {pattern!r}, which no provider is called"
                self.emit({"level": "WARN", "message": "configuration", "warning": warning})

    async def _turn(self, one: Due, turns: asyncio.Semaphore, counts: Counter[str]) -> None:
        async with turns:
            clock = self.upstreams.clock
            began_s = clock.monotonic_s()
            found = await self._probe(one)
            latency_ms = (clock.monotonic_s() - began_s) * 1000
            counts[found.outcome.value] += 1
            if found.outcome is not Outcome.LOST:
                why = UNCLEAR if found.outcome is Outcome.UNCLEAR else found.why
                self.counters.count(*probed(one.deployment, why, self._now_ms()))
            emit_probe(self.emit, one, found.outcome.value, found.why, latency_ms, self._now_ms())

    async def _probe(self, one: Due) -> Found:
        health, probe = self.upstreams.health, None
        if one.reason is Reason.OPEN:
            probe = await health.claim(one.deployment.id, self.settings.timeout)
            if probe is None:
                return Found(Outcome.LOST)
        watched = health.observe(one.deployment.id, probe, typical=False)
        try:
            await (self._ask_model if one.evidence is Evidence.MODEL else self._ask_provider)(one, watched)
            return Found(Outcome.OK)
        except _UnclearError:
            return Found(Outcome.UNCLEAR)
        except GatewayError as error:
            return Found(Outcome.FAILED, error.kind.value)
        except Exception as error:  # noqa: BLE001 - a bug met at one deployment must not keep the others from being asked
            self.emit({"level": "ERROR", "message": "unhandled", "at": crash_site(error), "deployment": one.deployment.id})
            return Found(Outcome.UNCLEAR)
        finally:
            watched.dropped()  # where nothing was told of it yet

    # --- Paid -------------------------------------------------------------------------------------------------------

    async def _ask_model(self, one: Due, watched: Observation) -> None:
        """One token, on the way that requests take. That the model refuses so odd a request shows that it is there."""
        clock, name = self.upstreams.clock, one.deployment.model_name
        record = RequestRecord("probe", "probe", clock.monotonic_s(), model=name)
        body: JsonObject = {"model": name, **_QUESTION}
        context = AnswerContext(name, int(clock.wall_s()), "0" * 24)
        try:
            reply = await self.upstreams.attempt(
                one.deployment, Call("chat", name, body, False, record), Translation("chat", body, context), watched
            )
        except GatewayError as error:
            if error.retryable or error.kind is ErrorKind.MODEL_NOT_FOUND:
                raise
        else:
            if reply.close is not None:
                await reply.close()

    # --- Free -------------------------------------------------------------------------------------------------------

    async def _ask_provider(self, one: Due, watched: Observation) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self._checked(one)
        except TimeoutError:
            error = GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"{one.deployment.id} did not answer in time.")
            watched.failed(error)
            raise error from None
        except GatewayError as error:
            if impact_of(error) is Impact.NONE:
                raise _UnclearError from None
            watched.failed(error)
            raise
        watched.succeeded(0.0)

    async def _checked(self, one: Due) -> None:
        """Raises GatewayError for what speaks against the deployment, _UnclearError for what says nothing of it."""
        limit_s = self.settings.timeout
        call = await self._free_call(one.deployment)
        response = await self.upstreams.transport.send(call, Timeouts(limit_s, limit_s, limit_s))
        try:
            if 200 <= response.status < 300 and "json" in response.headers.get("content-type", ""):
                return
            if response.status < 400:
                raise _UnclearError
            body = await response.read()
            error = upstream_wire(first_dialect(one.deployment)).error(response.status, response.headers, body)
            if failure := failure_of(response.status, body, error, one.evidence):
                raise failure
            raise _UnclearError
        finally:
            await response.close()

    async def _free_call(self, deployment: Deployment) -> HttpRequest:
        endpoint = self.upstreams.endpoints[deployment.provider]
        checkup, dialect = _checkup(deployment, endpoint.row), first_dialect(deployment)
        assert checkup is not None  # it would not be a candidate
        if checkup.path:
            path = checkup.path.format(model=quote(deployment.model, safe=""))
            wire = WireRequest(path, b"", deployment.model, stream=False)
            return replace(await endpoint.provider.prepare(deployment, wire, dialect), method="GET")
        counter = upstream_wire(dialect)
        assert isinstance(counter, CountingWire)
        asked = client_wire("chat").decode({"model": deployment.model_name, **_QUESTION})
        counting = counter.encode_count(asked, self.upstreams.target(deployment, deployment.model_name))
        return await endpoint.provider.prepare(deployment, counting, dialect)

    def _now_ms(self) -> int:
        return int(self.upstreams.clock.wall_s() * 1000)


def _checkup(deployment: Deployment, row: ProviderRow) -> Checkup | None:
    """How it may be asked without paying. What stands at an address of the operator's own has a list at most, and may ask
    for no credential there, or not for this one."""
    checkup = row.checkup
    if checkup is None or (not checkup.path and not isinstance(upstream_wire(first_dialect(deployment)), CountingWire)):
        return None
    return LISTING if deployment.api_base is not None and row.base_url is not None else checkup


def _named(row: ProviderRow, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in (row.name, *row.synonyms) for pattern in patterns)
