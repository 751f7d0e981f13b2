"""How many tokens a request would have: asked of the providers that count, else estimated.

An estimate is told apart by `x-pllm-emulated: count_tokens`. A provider that cannot count today is no reason to fail: whoever
counts before a call only wants to know what fits.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pllm.admission import Admission
from pllm.asked import Asked
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.tags import Tags, chosen
from pllm.pipeline import Call, Pipeline, Reply
from pllm.providers.base import Timeouts
from pllm.translation import first_dialect
from pllm.wire.anthropic_messages import count_tokens_request, decode_count_request, encode_token_count
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest
from pllm.wire.lanes import upstream_wire
from pllm.wire.token_estimate import estimate_tokens
from pllm.wire.translator import CountingWire

if TYPE_CHECKING:
    from pllm.core.request_trace import AttemptSpan

_PATIENCE_S = 10.0
"""A count that takes longer than this is worth less than the estimate."""

# What Anthropic itself says of a request in its own dialect is for the client to hear.
_THE_CLIENTS_FAULT = frozenset({ErrorKind.INVALID_REQUEST, ErrorKind.TOO_LARGE, ErrorKind.CONTEXT_LENGTH})


@dataclass(frozen=True, slots=True)
class _Question:
    wire: WireRequest
    dialect: UpstreamDialect
    counter: CountingWire


@dataclass(frozen=True, slots=True)
class TokenCounting:
    """`POST /v1/messages/count_tokens`, on whatever upstream answers for the model."""

    pipeline: Pipeline

    async def run(self, call: Call) -> Reply:
        """Raises GatewayError for what is wrong with the request, for a model that does not exist, and for a caller who has
        no request left in this minute. No other limit is asked: nothing is generated, and nothing paid for."""
        catalogue = self.pipeline.catalogue
        models = [catalogue.models[name] for name in catalogue.resolve(call.model)]
        call.record.model = call.model
        admission = self.pipeline.admissions.counted(call)
        await self._admitted(admission, call)
        try:
            reply = await self._counted(models, call)
        except BaseException as failure:
            await admission.close(call.record, failure)
            raise
        state = {"x-pllm-state": "degraded"} if admission.degraded else {}
        headers = {**reply.headers, **admission.headers, **state}
        await admission.close(call.record)
        return replace(reply, headers=headers)

    async def _admitted(self, admission: Admission, call: Call) -> None:
        clock = self.pipeline.upstreams.clock
        began_s = clock.monotonic_s()
        try:
            await admission.enter_alone()
        finally:
            call.record.admit_s += clock.monotonic_s() - began_s
            call.record.degraded = admission.degraded

    async def _counted(self, models: list[tuple[Deployment, ...]], call: Call) -> Reply:
        catalogue = self.pipeline.catalogue
        asked = Asked(lambda: decode_count_request(call.body), self.pipeline.fetcher(call))
        deployments = [one for some in models for one in sorted(some, key=lambda one: one.priority)]
        for deployment in _for_its_tags(deployments, call.tags) if catalogue.tagged else deployments:
            question = await self._question(deployment, call, asked)
            if question is not None and (tokens := await self._count(deployment, question, call)) is not None:
                return self._reply(call, tokens)
        call.record.deployment = call.record.provider = call.record.upstream_model = ""
        call.record.emulated = ("count_tokens",)
        return self._reply(call, estimate_tokens(asked.request))

    def _reply(self, call: Call, tokens: int) -> Reply:
        return Reply(self.pipeline.upstreams.headers(call.record), "application/json", encode_token_count(tokens))

    async def _question(self, deployment: Deployment, call: Call, asked: Asked) -> _Question | None:
        """None where the deployment's provider does not count."""
        dialect: UpstreamDialect = "messages" if "messages" in deployment.dialects else first_dialect(deployment)
        upstream = upstream_wire(dialect)
        if not isinstance(upstream, CountingWire):
            return None
        target = self.pipeline.upstreams.target(deployment, call.model)
        if dialect != "messages":
            return _Question(upstream.encode_count(await asked.encodable(upstream, target.quirks), target), dialect, upstream)
        wire = count_tokens_request(await asked.native_body(call.body, target.quirks), target)
        return _Question(replace(wire, headers={**call.forward, **wire.headers}), dialect, upstream)

    async def _count(self, deployment: Deployment, question: _Question, call: Call) -> int | None:
        """None when the provider failed to count, which the record notes."""
        record, clock = call.record, self.pipeline.upstreams.clock
        record.attempts += 1
        record.deployment, record.provider, record.upstream_model = deployment.id, deployment.provider, deployment.model
        sent_s = clock.monotonic_s()
        span = None
        if call.trace is not None:
            span = call.trace.attempt(deployment, sent_s)
            headers = {**question.wire.headers, **call.trace.headers(span)}
            question = replace(question, wire=replace(question.wire, headers=headers))
        failure: ErrorKind | None = None
        try:
            async with asyncio.timeout(min(_PATIENCE_S, self.pipeline.upstreams.remaining_s(call))):
                return await self._ask(deployment, question, span)
        except TimeoutError:
            failure = ErrorKind.UPSTREAM_TIMEOUT
        except GatewayError as error:
            failure = error.kind
            if question.dialect == "messages" and error.kind in _THE_CLIENTS_FAULT:
                raise
        finally:
            ended_s = clock.monotonic_s()
            record.upstream_s += ended_s - sent_s
            if span is not None:
                span.end(ended_s, failure.value if failure is not None else "")
        record.failed.append(f"{deployment.id}: {failure.value}")
        return None

    async def _ask(self, deployment: Deployment, question: _Question, span: "AttemptSpan | None") -> int:
        provider = self.pipeline.upstreams.endpoints[deployment.provider].provider
        http = await provider.prepare(deployment, question.wire, question.dialect)
        response = await self.pipeline.upstreams.transport.send(http, Timeouts(first_byte_s=_PATIENCE_S, idle_s=_PATIENCE_S))
        if span is not None:
            span.url, span.status = http.url.partition("?")[0], response.status
        try:
            body = await response.read()
            if not 200 <= response.status < 300:
                raise upstream_wire(question.dialect).error(response.status, response.headers, body)
            return question.counter.decode_count(body)
        finally:
            await response.close()


def _for_its_tags(deployments: list[Deployment], tags: Tags) -> list[Deployment]:
    left = chosen(deployments, tags)
    return [one for one in deployments if one.id in left]
