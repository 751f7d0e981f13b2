"""One client request on its way to any deployment: decoded once and its media fetched once, however many attempts there are."""

from pllm.core.deployment import Deployment
from pllm.core.jsontext import JsonObject
from pllm.providers.base import ProviderRow
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target
from pllm.wire.lanes import TranslatedLane, client_wire, native_lane, upstream_wire
from pllm.wire.neutral import Request, UpstreamDialect


class Translation:
    """`native`: a call without a neutral form, which makes its own lanes."""

    def __init__(self, dialect: str, body: JsonObject, context: AnswerContext, native: NativeCall | None = None) -> None:
        self._dialect = dialect
        self._body = body
        self._context = context
        self._native = native
        self._decoded: Request | None = None

    async def lane(self, deployment: Deployment, target: Target) -> tuple[Lane, UpstreamDialect]:
        """The lane that this deployment's attempt takes, and the dialect spoken on it. Raises GatewayError(400)."""
        if self._native is not None:
            return self._native.lane(target), "chat"
        if self._dialect in deployment.dialects:
            dialect: UpstreamDialect = self._dialect  # type: ignore[assignment]  # both are its literals
            return native_lane(self._dialect, self._body, target), dialect
        client = client_wire(self._dialect)
        if self._decoded is None:
            self._decoded = client.decode(self._body)
        spoken: UpstreamDialect = deployment.dialects[0]  # type: ignore[assignment]  # checked when it was built
        return TranslatedLane(client, upstream_wire(spoken), self._decoded, target, self._context), spoken


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
