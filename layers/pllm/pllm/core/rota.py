"""Whose turn it is, in one environment: shares kept exactly, without asking anybody.

Stride scheduling: every turn each candidate is credited its share, the one with most credit goes and pays 1. After n turns a
candidate has had its share of n to within about one turn (never a whole turn too many). Environments begin at random places
of that cycle, so a fleet is fair to within one turn per environment, and no two environments march in step.
"""

from collections.abc import Mapping
from random import Random

_LONGEST_START = 256


class Rota:
    """The one thing routing remembers between requests. `key` names what is chosen among (a model, an alias, a route)."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._credits: dict[str, dict[str, float]] = {}

    def turn(self, key: str, shares: Mapping[str, float]) -> list[str]:
        """Who goes now, then the others by how much is owed to them. `shares` (of those that can go now) are at least 0 and
        need not sum to 1; without a share one goes only where nobody has one."""
        total = sum(shares.values())
        if total <= 0:
            shares, total = dict.fromkeys(shares, 1.0), float(len(shares))
        credit = self._credits.get(key)
        if credit is None or not credit.keys() >= shares.keys():
            credit = self._credits[key] = self._started(shares, total)
        _step(credit, shares, total)
        owing = sorted((name for name in shares if shares[name] > 0), key=credit.__getitem__, reverse=True)
        _pay(credit, owing[0])
        return [*owing, *(name for name in shares if shares[name] <= 0)]

    def _started(self, shares: Mapping[str, float], total: float) -> dict[str, float]:
        credit = dict.fromkeys(shares, 0.0)
        for _ in range(self._random.randrange(_LONGEST_START)):
            _step(credit, shares, total)
            _pay(credit, max((name for name in shares if shares[name] > 0), key=credit.__getitem__))
        return credit


def _step(credit: dict[str, float], shares: Mapping[str, float], total: float) -> None:
    for name, share in shares.items():
        credit[name] += share / total


def _pay(credit: dict[str, float], name: str) -> None:
    credit[name] -= 1.0
