"""One client request on its way to any deployment: decoded once and its media fetched once, however many attempts there are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from pllm.core.deployment import Deployment
from pllm.core.jsontext import JsonObject
from pllm.providers.base import ProviderRow
from pllm.wire.addressed_media import Wanted, wanted, with_bytes
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Quirks, Target, UpstreamWire
from pllm.wire.lanes import client_wire, native_lane, native_suffices, translated_lane, upstream_wire
from pllm.wire.neutral import Inline, Request, UpstreamDialect

Fetch = Callable[[Sequence[Wanted]], Awaitable[Mapping[str, Inline]]]
"""Addresses to bytes. Raises GatewayError(400) naming the part that cannot be had."""


class Asked:
    """What a client asked for, in the neutral form. Decoded when first needed: the same-dialect lane never needs it.
    Without `fetch` no addresses are fetched, and upstreams that want bytes refuse them by name."""

    def __init__(self, decode: Callable[[], Request], fetch: Fetch | None = None) -> None:
        self._decode = decode
        self._fetch = fetch
        self._decoded: Request | None = None
        self._fetched: dict[str, Inline] = {}

    @property
    def request(self) -> Request:
        """Raises GatewayError(400) for what the client got wrong."""
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded

    async def encodable(self, upstream: UpstreamWire, quirks: Quirks) -> Request:
        """The request with the bytes in it that `upstream` wants. Raises GatewayError(400)."""
        return with_bytes(self.request, await self._bytes(wanted(self.request, upstream, quirks)))

    async def native_body(self, body: JsonObject, quirks: Quirks) -> JsonObject:
        """A Messages body for a provider that speaks Messages, but may not fetch what it names."""
        if not quirks.needs_bytes:
            return body
        from pllm.wire.anthropic_messages import url_sources, with_inline_sources  # for those who speak it, and fetch

        fetched = await self._bytes(url_sources(body))
        return with_inline_sources(body, fetched) if fetched else body

    async def _bytes(self, missing: Sequence[Wanted]) -> Mapping[str, Inline]:
        """The files of `missing`; each address is fetched once, however many attempts want it."""
        if not missing or self._fetch is None:
            return {}
        if new := [one for one in missing if one.url not in self._fetched]:
            self._fetched |= await self._fetch(new)
        return {one.url: self._fetched[one.url] for one in missing}


class Translation:
    """`native`: a call without a neutral form, which makes its own lanes."""

    def __init__(
        self,
        dialect: str,
        body: JsonObject,
        context: AnswerContext,
        native: NativeCall | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._dialect = dialect
        self._body = body
        self._context = context
        self._native = native
        self._asked = Asked(lambda: client_wire(dialect).decode(body), fetch)

    async def lane(self, deployment: Deployment, target: Target) -> tuple[Lane, UpstreamDialect]:
        """The lane that this deployment's attempt takes, and the dialect spoken on it. Raises GatewayError(400)."""
        if self._native is not None:
            return self._native.lane(deployment, target)
        if self._dialect in deployment.dialects and native_suffices(self._dialect, self._body, target):
            dialect: UpstreamDialect = self._dialect  # type: ignore[assignment]  # both are its literals
            body = await self._asked.native_body(self._body, target.quirks) if dialect == "messages" else self._body
            return native_lane(self._dialect, body, target), dialect
        spoken = first_dialect(deployment)
        upstream = upstream_wire(spoken)
        request = await self._asked.encodable(upstream, target.quirks)
        return translated_lane(client_wire(self._dialect), upstream, request, target, self._context), spoken


def first_dialect(deployment: Deployment) -> UpstreamDialect:
    """What translated requests use."""
    spoken: UpstreamDialect = deployment.dialects[0]  # type: ignore[assignment]  # checked when it was built
    return spoken


def target_of(
    deployment: Deployment, row: ProviderRow, public_name: str, *, drop_unsupported: bool, repair_history: bool
) -> Target:
    """What a request is encoded for, from who is to answer it."""
    return Target(
        model=deployment.model,
        public_name=public_name,
        provider=deployment.provider,
        profile=deployment.profile,
        quirks=row.quirks,
        defaults=deployment.defaults,
        drop_unsupported=drop_unsupported or deployment.drop_unsupported,
        repair_history=repair_history,
    )
