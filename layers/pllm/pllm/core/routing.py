"""Which deployments may answer a request, and in what order they are tried. Pure: randomness is handed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from random import Random

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every name a client may ask for. `models`: name -> its deployments. `aliases`: name -> names of models, in order.
    `disabled`: names that are configured but have no usable deployment -> why."""

    models: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disabled: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """What can be asked for: models first, then aliases, both in the order of the configuration."""
        return [*self.models, *(name for name in self.aliases if name not in self.models and self._members(name))]

    def resolve(self, name: str) -> tuple[str, ...]:
        """The models behind a name. Raises MODEL_NOT_FOUND naming near matches, or UNAVAILABLE for a disabled one."""
        if name in self.models:
            return (name,)
        if members := self._members(name):
            return members
        if name in self.disabled:
            raise GatewayError(ErrorKind.UNAVAILABLE, f"Model {name!r} is configured but not usable: {self.disabled[name]}")
        if name in self.aliases:
            raise GatewayError(ErrorKind.UNAVAILABLE, f"None of the models behind {name!r} is usable.")
        raise self._not_found(name)

    def _members(self, alias: str) -> tuple[str, ...]:
        return tuple(model for model in self.aliases.get(alias, ()) if model in self.models)

    def _not_found(self, name: str) -> GatewayError:
        near = get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else " GET /v1/models lists those that exist."
        return GatewayError(ErrorKind.MODEL_NOT_FOUND, f"The model {name!r} does not exist.{hint}", param="model")


def order(deployments: Sequence[Deployment], random: Random) -> list[Deployment]:
    """A lower priority number goes first; equals are shuffled by weight, so that shares follow weights exactly on average."""
    return sorted(deployments, key=lambda d: (d.priority, _weighted_key(d.weight, random)))


def _weighted_key(weight: float, random: Random) -> float:
    # Exponential clocks: the chance to ring first is proportional to the rate (Efraimidis and Spirakis, 2006).
    return random.expovariate(weight) if weight > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `repeat` counts how often this deployment was tried before in this request (0 the first time)."""

    deployment: Deployment
    repeat: int = 0


def attempts(models: Sequence[Sequence[Deployment]], retries: int, random: Random) -> list[Attempt]:
    """Every try of a request, in order. Each model's deployments are all tried once; with fewer deployments than
    `1 + retries` they are gone round again, so that `retries` counts further tries on the same model."""
    plan: list[Attempt] = []
    for deployments in models:
        ordered = order(deployments, random)
        tries = max(len(ordered), 1 + retries)
        plan += [Attempt(ordered[i % len(ordered)], i // len(ordered)) for i in range(tries)] if ordered else []
    return plan


def backoff_s(repeat: int, random: Random, *, base_s: float = 0.25, cap_s: float = 8.0) -> float:
    """How long to wait before trying a deployment again: exponential with full jitter."""
    return random.uniform(0, min(cap_s, base_s * 2 ** (repeat - 1)))
