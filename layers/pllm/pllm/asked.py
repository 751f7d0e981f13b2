"""What a client asked for in the neutral form: decoded once and its media fetched once, however many attempts there are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from pllm.core.jsontext import JsonObject
from pllm.wire.addressed_media import Wanted, wanted, with_bytes
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import AnswerContext, Lane, Quirks, Target
from pllm.wire.lanes import client_wire, upstream_wire
from pllm.wire.neutral import Inline, Request
from pllm.wire.translated import translated_lane
from pllm.wire.translator import UpstreamWire

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

    async def lane(self, dialect: str, spoken: UpstreamDialect, target: Target, context: AnswerContext) -> Lane:
        """From the client's `dialect` to the one that is `spoken` upstream, and back. Raises GatewayError(400)."""
        upstream = upstream_wire(spoken)
        request = await self.encodable(upstream, target.quirks)
        return translated_lane(client_wire(dialect), upstream, request, target, context)

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
