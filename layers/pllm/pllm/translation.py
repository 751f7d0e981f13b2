"""One client request on its way to any deployment: in the same-dialect lane, or through the neutral form."""

from functools import cached_property
from typing import TYPE_CHECKING

from pllm.core.deployment import Deployment
from pllm.core.jsontext import JsonObject
from pllm.providers.base import ProviderRow
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import AnswerContext, Lane, NativeCall, Target
from pllm.wire.lanes import client_wire, native_lane, native_suffices

if TYPE_CHECKING:
    from pllm.asked import Asked, Fetch


class Translation:
    """`native`: a call without a neutral form, which makes its own lanes."""

    def __init__(
        self,
        dialect: str,
        body: JsonObject,
        context: AnswerContext,
        native: NativeCall | None = None,
        fetch: "Fetch | None" = None,
    ) -> None:
        self._dialect = dialect
        self._body = body
        self._context = context
        self._native = native
        self._fetch = fetch

    async def lane(self, deployment: Deployment, target: Target) -> tuple[Lane, UpstreamDialect]:
        """The lane that this deployment's attempt takes, and the dialect spoken on it. Raises GatewayError(400)."""
        if self._native is not None:
            return self._native.lane(deployment, target, self._context)
        if self._dialect in deployment.dialects and native_suffices(self._dialect, self._body, target):
            dialect: UpstreamDialect = self._dialect  # type: ignore[assignment]  # both are its literals
            fetches = dialect == "messages" and target.quirks.needs_bytes
            body = await self._asked.native_body(self._body, target.quirks) if fetches else self._body
            return native_lane(self._dialect, body, target), dialect
        spoken = first_dialect(deployment)
        return await self._asked.lane(self._dialect, spoken, target, self._context), spoken

    @cached_property
    def _asked(self) -> "Asked":
        from pllm.asked import Asked  # the neutral form, which an environment needs that translates: a tenth of a cold start

        return Asked(lambda: client_wire(self._dialect).decode(self._body), self._fetch)


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
