"""One request's way through the house: plan, translate, call, translate back. Fallback is this loop and nothing else.

Nothing is committed to the client before an upstream has answered and its first event was seen (or it has been silent for
`COMMIT_AFTER_S` after answering 200), so until then any failure is a real status code and another deployment may take over.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from pllm.admission import Admission, Admissions
from pllm.attempt import COMMIT_AFTER_S, Upstreams
from pllm.call import Call, Endpoint, Reply
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.plan import Plan, RoutingPolicy, Step, Surroundings
from pllm.core.record import RequestRecord
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.strategies import TokenMix
from pllm.estimating import note_given_up
from pllm.hedging import Contender, race
from pllm.state.health import Probe
from pllm.translation import Translation
from pllm.wire.lane import AnswerContext

if TYPE_CHECKING:
    from pllm.asked import Fetch
    from pllm.providers.media import MediaFetcher

__all__ = ["COMMIT_AFTER_S", "Call", "Endpoint", "Pipeline", "Reply"]

PROBE_PATIENCE_S = 5.0
"""A client whose request became the probe of a failing deployment does not wait longer for it, where there is another."""

# No tokenizer makes fewer tokens than this of text as people and programs write it.
_MOST_BYTES_A_TOKEN = 6
_USUAL_BYTES_A_TOKEN = 4


@dataclass(frozen=True)
class Pipeline:
    """Everything a request needs, injected once. `rota`: whose turn it is, in this environment. `media`: made when first
    needed."""

    catalogue: Catalogue
    upstreams: Upstreams
    random: Random
    rota: Rota
    policy: RoutingPolicy = field(default_factory=RoutingPolicy)
    media: "Callable[[], MediaFetcher] | None" = None
    admissions: Admissions = field(default_factory=Admissions)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, call: Call) -> Reply:
        """The answer to `call`; raises GatewayError when no deployment could give one."""
        began_s = self.upstreams.clock.monotonic_s()
        plan = Plan(self.catalogue, self.policy, call.model, self._surroundings(call))
        call.record.model = call.model  # only now: a name that does not exist must not become a metric's dimension
        health = self.upstreams.health
        await health.refresh(wait=health.cold and plan.choices)
        call.record.route_s = self.upstreams.clock.monotonic_s() - began_s
        admission = self.admissions.of(call, plan.possible)
        try:
            reply = await self._answered(plan, admission, call)
        except BaseException as failure:
            await admission.close(call.record, failure)
            raise
        finally:
            call.record.degraded = health.degraded or admission.degraded
        return _settling(reply, admission, call.record)

    async def _answered(self, plan: Plan, admission: Admission, call: Call) -> Reply:
        translation = Translation(call.dialect, call.body, self._context(call), call.native, self.fetcher(call))
        while (step := plan.next(self.upstreams.remaining_s(call))) is not None:
            if step.wait_s:
                await self.sleep(step.wait_s)
            if call.record.attempts:
                call.record.abandon(call.record)
            if (refusal := await self._refused(admission, step, call.record)) is not None:
                plan.full(step, refusal)
                continue
            probe = await self._probe(step, call)
            if step.probe and probe is None:
                plan.lost(step)
                continue
            with suppress(GatewayError):  # which the plan was told of
                return await self._try(step, probe, plan, admission, call, translation)
        raise plan.outcome()

    def fetcher(self, call: Call) -> "Fetch | None":
        """What brings the media that the client named by address, in the time that is left."""
        media = self.media
        return None if media is None else lambda wanted: media().fetch(wanted, self.upstreams.remaining_s(call))

    async def _refused(self, admission: Admission, step: Step, record: RequestRecord) -> GatewayError | None:
        began_s = self.upstreams.clock.monotonic_s()
        try:
            return await admission.enter(step.deployment)
        except GatewayError:
            record.stopped = record.attempts > 0
            raise
        finally:
            record.admit_s += self.upstreams.clock.monotonic_s() - began_s

    async def _probe(self, step: Step, call: Call) -> Probe | None:
        if not step.probe:
            return None
        return await self.upstreams.health.claim(step.deployment.id, self.upstreams.timeout_s(step.deployment, call))

    async def _try(
        self, step: Step, probe: Probe | None, plan: Plan, admission: Admission, call: Call, translation: Translation
    ) -> Reply:
        patience_s = self.policy.hedge_after_s
        if probe is not None:
            patience_s = min(patience_s or PROBE_PATIENCE_S, PROBE_PATIENCE_S)
        if patience_s is None:
            watched = self.upstreams.health.observe(step.deployment.id)
            try:
                return await self.upstreams.attempt(step.deployment, call, translation, watched)
            except BaseException as failure:
                note_given_up(call.record, call, step.deployment)
                if isinstance(failure, GatewayError):
                    _failed(call, plan, step, failure)
                raise
        beside = partial(_beside, plan, admission)
        return await self._hedged(step, probe, patience_s, plan, beside, call, translation)

    async def _hedged(
        self,
        step: Step,
        probe: Probe | None,
        patience_s: float,
        plan: Plan,
        beside: Callable[[], Awaitable[Step | None]],
        call: Call,
        translation: Translation,
    ) -> Reply:
        started_s = self.upstreams.clock.monotonic_s()
        contenders: list[Contender] = []
        over: list[Contender] = []

        def start(one: Step) -> Contender:
            silent_s = self.upstreams.clock.monotonic_s() - started_s  # of the first: the upstream's time, whoever answers
            record = replace(call.record, failed=[], abandoned=[], upstream_s=call.record.upstream_s + silent_s)
            call.record.attempts += 1
            watched = self.upstreams.health.observe(one.deployment.id, probe if one is step else None)
            attempt = self.upstreams.attempt(one.deployment, replace(call, record=record), translation, watched)
            contenders.append(Contender(one, record, watched, asyncio.ensure_future(attempt)))
            return contenders[-1]

        def failed(one: Contender, error: GatewayError) -> None:
            over.append(one)
            _failed(call, plan, one.step, error)

        def slower(loser: Contender) -> None:
            _note_failure(call, loser.step, "slower")
            waited_s = self.upstreams.clock.monotonic_s() - started_s
            if loser.step is not step:
                loser.watched.dropped()  # the first was silent for longer
            elif step.probe:
                loser.watched.failed(GatewayError(ErrorKind.UPSTREAM_TIMEOUT, f"silent for {waited_s:.1f} s"))
            else:
                loser.watched.dropped(waited_s * 1000)

        try:
            winner, reply = await race(start, step, beside, patience_s, failed, slower)
        except BaseException:
            _decided(call, contenders, ([one for one in contenders if one not in over] or over)[-1], answered=False)
            raise

        _decided(call, contenders, winner, answered=True)
        return _adopted(call.record, winner.record, reply)

    def _surroundings(self, call: Call) -> Surroundings:
        native = call.native
        return Surroundings(
            self.random,
            self.rota,
            self.upstreams.health.view,
            call.stream,
            lambda: _mix(call),
            lambda: _text_bytes(call) // _MOST_BYTES_A_TOKEN,
            native.refusal if native is not None else lambda deployment: None,
            call.tags,
        )

    def _context(self, call: Call) -> AnswerContext:
        return AnswerContext(call.model, int(self.upstreams.clock.wall_s()), f"{self.random.getrandbits(96):024x}")


async def _beside(plan: Plan, admission: Admission) -> Step | None:
    """A second attempt, if its deployment has room, and its caller for both. That is asked beside the first one, which may be
    faster."""
    step = plan.beside()
    if step is None:
        return None
    try:
        refusal = await admission.enter(step.deployment, beside=True)
    except asyncio.CancelledError:
        plan.spared(step)
        raise
    except GatewayError:
        plan.spared(step)  # the first goes on alone
        return None
    if refusal is not None:
        plan.full(step, refusal)
        return None
    return step


def _decided(call: Call, contenders: list[Contender], last: Contender, *, answered: bool) -> None:
    """The request goes on as `last` left it, who has `answered` or not. The others may have been billed, or never sent."""
    before = call.record.attempts - len(contenders)
    call.record.attempts -= sum(one.record.attempts == before + number for number, one in enumerate(contenders))
    for one in contenders:
        if one is not last or not answered:
            note_given_up(one.record, call, one.step.deployment)
        if one is not last:
            call.record.abandon(one.record)
    call.record.adopt(last.record)


def _adopted(record: RequestRecord, attempt: RequestRecord, reply: Reply) -> Reply:
    """The reply of an attempt with a record of its own, of which the request's knows how it ended."""

    async def close() -> None:
        try:
            if reply.close is not None:
                await reply.close()
        finally:
            record.adopt(attempt)

    pieces = None if reply.pieces is None else _adopting(record, attempt, reply.pieces)
    return replace(reply, pieces=pieces, close=close)


async def _adopting(record: RequestRecord, attempt: RequestRecord, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces. How they ended is known of the request before its client is told that there are no more."""
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        record.adopt(attempt)


def _settling(reply: Reply, admission: Admission, record: RequestRecord) -> Reply:
    """The reply, with what was held for it given back once it is closed."""

    async def close() -> None:
        try:
            if reply.close is not None:
                await reply.close()
        finally:
            await admission.close(record)

    more = {"x-pllm-state": "degraded"} if admission.degraded else {}
    if lost := sum(one.cost_micro_usd or 0 for one in record.abandoned):
        more["x-pllm-abandoned-cost-usd"] = f"{lost / 1_000_000:.6f}"
    return replace(reply, headers={**reply.headers, **admission.headers, **more}, close=close)


def _failed(call: Call, plan: Plan, step: Step, error: GatewayError) -> None:
    _note_failure(call, step, error.kind.value)
    plan.failed(step, error)


def _note_failure(call: Call, step: Step, why: str) -> None:
    call.record.failed.append(f"{step.deployment.id}: {why}")


def _mix(call: Call) -> TokenMix:
    asked = call.body.get("max_completion_tokens") or call.body.get("max_tokens") or call.body.get("max_output_tokens")
    completion = asked if isinstance(asked, int) else TokenMix().completion
    return TokenMix(_text_bytes(call) // _USUAL_BYTES_A_TOKEN, completion)


def _text_bytes(call: Call) -> int:
    from pllm.core.limit_estimate import measure  # walks the whole body: only for those who need to know

    return measure(call.body).text_bytes
