"""One client request on its way to any deployment: decoded once and its media fetched once, however many attempts there are."""

from collections.abc import Callable

from pllm.core.deployment import Deployment
from pllm.core.jsontext import JsonObject
from pllm.providers.base import ProviderRow
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target, UpstreamWire
from pllm.wire.lanes import TranslatedLane, client_wire, native_lane, upstream_wire
from pllm.wire.neutral import Request, UpstreamDialect


class Asked:
    """What a client asked for, in the neutral form. Decoded when first needed: the same-dialect lane never needs it."""

    def __init__(self, decode: Callable[[], Request]) -> None:
        self._decode = decode
        self._decoded: Request | None = None

    @property
    def request(self) -> Request:
        """Raises GatewayError(400) for what the client got wrong."""
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded

    async def encodable(self, upstream: UpstreamWire) -> Request:
        """The request with everything in it that `upstream` needs to encode it."""
        return self.request


class Translation:
    """`native`: a call without a neutral form, which makes its own lanes."""

    def __init__(self, dialect: str, body: JsonObject, context: AnswerContext, native: NativeCall | None = None) -> None:
        self._dialect = dialect
        self._body = body
        self._context = context
        self._native = native
        self._asked = Asked(lambda: client_wire(dialect).decode(body))

    async def lane(self, deployment: Deployment, target: Target) -> tuple[Lane, UpstreamDialect]:
        """The lane that this deployment's attempt takes, and the dialect spoken on it. Raises GatewayError(400)."""
        if self._native is not None:
            return self._native.lane(target), "chat"
        if self._dialect in deployment.dialects:
            dialect: UpstreamDialect = self._dialect  # type: ignore[assignment]  # both are its literals
            return native_lane(self._dialect, self._body, target), dialect
        spoken = first_dialect(deployment)
        upstream = upstream_wire(spoken)
        request = await self._asked.encodable(upstream)
        return TranslatedLane(client_wire(self._dialect), upstream, request, target, self._context), spoken


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
