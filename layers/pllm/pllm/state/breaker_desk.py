"""Breakers as administrators handle them: forced, and given back to what happens."""

from collections.abc import Callable

from pllm.core import breaker_moves as moves
from pllm.core.breaker import UNTIL_RELEASED_MS, Asked, Breaker, moved
from pllm.core.breaker_view import breaker_view
from pllm.core.clock import Clock
from pllm.state.audit import Change
from pllm.state.breakers import breaker_key, move_breaker, partition, read_breaker
from pllm.state.changes import Changes, busy
from pllm.state.config_version import tell_news
from pllm.state.health import Notify
from pllm.state.store import TransactionalStore

_TRIES = 5


class BreakerDesk:
    """`group`: of deployments, as state.health has it. Every method may raise StateError; `by` is a principal's id. A change
    is in use in every environment with its next look at the pointer, within five seconds. `notify` is told of what was
    forced."""

    def __init__(
        self,
        store: TransactionalStore,
        clock: Clock,
        changes: Changes,
        *,
        group: str = "main",
        notify: Notify = lambda deployment, move, breaker: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._group = group
        self._notify = notify

    async def open(self, deployment: str, by: str, *, for_s: float | None = None, note: str = "") -> Breaker:
        """Nothing is sent there for so long, or until it is released. Raises a 409 when others keep changing it."""
        return await self._change(
            deployment,
            by,
            "open",
            lambda known, now_ms: moves.force_open(known.generation, now_ms, _until(now_ms, for_s), note),
        )

    async def close(self, deployment: str, by: str, *, for_s: float | None = None, note: str = "") -> Breaker:
        """It is used for so long, or until it is released, whatever comes of it. Raises as `open` does."""
        return await self._change(
            deployment,
            by,
            "close",
            lambda known, now_ms: moves.force_close(known.generation, now_ms, _until(now_ms, for_s), note),
        )

    async def release(self, deployment: str, by: str) -> Breaker:
        """What happens decides again. Harmless where nothing was forced. Raises as `open` does."""
        return await self._change(deployment, by, "release", moves.release)

    async def _change(self, deployment: str, by: str, verb: str, ask: Callable[[Breaker, int], Asked | None]) -> Breaker:
        """Made to the breaker that was read: where it has moved in the meantime, it is read again."""
        for _ in range(_TRIES):
            item = await self._store.get(partition(self._group), breaker_key(deployment), consistent=True)
            known = Breaker() if item is None else read_breaker(item)
            now_ms = int(self._clock.wall_s() * 1000)
            asked = ask(known, now_ms)
            if asked is None:
                return known
            after = moved(known, asked)
            assert after is not None  # it names the generation that was read
            before_view = None if item is None else breaker_view(known, now_ms)
            change = Change(by, f"breaker.{verb}", f"breaker/{deployment}", before_view, breaker_view(after, now_ms))
            writes = [move_breaker(self._group, deployment, asked), tell_news()]
            if await self._changes.write(writes, change) is None:
                if after.forced(now_ms):
                    self._notify(deployment, asked.move, after)
                return after
        raise busy()


def _until(now_ms: int, for_s: float | None) -> int:
    return UNTIL_RELEASED_MS if for_s is None else now_ms + int(for_s * 1000)
