"""What one environment last saw of the fleet's health, and how it stays true while it is seconds old."""

from collections.abc import Callable, Iterable, Mapping

from pllm.core.breaker import Asked, Breaker, Circuit, moved
from pllm.core.health import MINUTES, DeploymentHealth, Sums, blended
from pllm.state.breakers import deployment_of, read_breaker, read_minute
from pllm.state.store import Item

_TRUSTED_MS = 2_000
"""A read may be older than an answer that the table gave to a write of ours shortly before."""

_NO_SUMS = Sums()


class Snapshot:
    """Breakers and minutes by deployment. Answers of one's own writes are newer than any query: they are folded in."""

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = {}
        self._answered_ms: dict[str, int] = {}
        self._minutes: dict[tuple[int, str], Sums] = {}

    def breaker(self, deployment: str) -> Breaker:
        return self._breakers.get(deployment) or Breaker()

    def sums(self, minute: int, deployment: str) -> Sums:
        return self._minutes.get((minute, deployment), _NO_SUMS)

    def replace(self, items: Iterable[Item], asked_ms: int, minute: int) -> None:
        """A query's answer, asked for at `asked_ms`. Sums only grow, so the larger ones are the newer ones."""
        breakers: dict[str, Breaker] = {}
        minutes = {key: sums for key, sums in self._minutes.items() if key[0] > minute - MINUTES}
        for item in items:
            deployment, at = deployment_of(str(item["SK"]))
            if at is None:
                breakers[deployment] = read_breaker(item)
            else:
                minutes[at, deployment] = _larger(read_minute(item), minutes.get((at, deployment), _NO_SUMS))
        for deployment, answered_ms in self._answered_ms.items():
            ours = self._breakers.get(deployment)
            if ours is not None and answered_ms > asked_ms - _TRUSTED_MS:
                breakers[deployment] = max(ours, breakers.get(deployment, Breaker()), key=_age)
        self._breakers, self._minutes = breakers, minutes

    def learn_breaker(self, deployment: str, item: Item | None, now_ms: int) -> Breaker:
        """The breaker as the table answered it to a write; None: there is none."""
        breaker = Breaker() if item is None else read_breaker(item)
        self._breakers[deployment] = breaker
        self._answered_ms[deployment] = now_ms
        return breaker

    def learn_minute(self, minute: int, deployment: str, item: Item) -> Sums:
        sums = self._minutes[minute, deployment] = _larger(read_minute(item), self.sums(minute, deployment))
        return sums

    def assume(self, minute: int, deployment: str, sums: Sums) -> None:
        """Numbers of ours that may have reached the table: counted here, whatever it says next."""
        self._minutes[minute, deployment] = self.sums(minute, deployment) + sums

    def with_ours(self, minute: int, deployment: str, pending: Mapping[tuple[int, str], Sums]) -> Sums:
        """The fleet's numbers and those of ours that the table has not got yet."""
        fleet, ours = self.sums(minute, deployment), pending.get((minute, deployment))
        return fleet if ours is None else fleet + ours

    def move(self, deployment: str, asked: Asked) -> Breaker | None:
        """A move made here alone, while the table cannot be asked; the next query's answer goes before it."""
        after = moved(self._breakers.get(deployment), asked)
        if after is not None:
            self._breakers[deployment] = after
            self._answered_ms.pop(deployment, None)
        return after

    def health(
        self,
        deployment: str,
        now_ms: int,
        pending: Mapping[tuple[int, str], Sums],
        in_flight: int,
        seen: Callable[[Breaker], Breaker],
    ) -> DeploymentHealth:
        """`pending`: this environment's own numbers that the table has not got yet. `seen`: how a breaker is looked at."""
        minute, rest_ms = divmod(now_ms, 60_000)
        minutes = [self.with_ours(minute - back, deployment, pending) for back in range(MINUTES)]
        return blended(seen(self.breaker(deployment)), minutes, rest_ms / 1000, in_flight, now_ms)


def _larger(one: Sums, other: Sums) -> Sums:
    return one if one.ok + one.failed + one.latencies >= other.ok + other.failed + other.latencies else other


def _age(breaker: Breaker) -> tuple[int, bool, int, int]:
    """Grows with every move within the table's rules: generations first, then what may follow inside one."""
    return breaker.generation, breaker.state is Circuit.HALF_OPEN, breaker.probe_until_ms, breaker.until_ms
