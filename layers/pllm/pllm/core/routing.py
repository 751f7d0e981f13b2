"""Which names a client may ask for, and which deployments stand behind each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pllm.core.config.schema import Route, Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.strategies import Candidate

# These share traffic by weights. An alias has none, so its list is an order; the others choose among all of its models.
_ALIAS_IN_ORDER = frozenset({Strategy.PRIORITY, Strategy.WEIGHTED})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every name a client may ask for. `models`: name -> its deployments. `aliases`: name -> names of models, in order.
    `disabled`: names that are configured but have no usable deployment -> why. `routes`: slug -> a choice among models.
    `tagged`: whether any deployment has tags."""

    models: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disabled: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    tagged: bool = field(init=False)

    def __post_init__(self) -> None:
        tagged = any(one.tags for one in self.deployments())
        object.__setattr__(self, "tagged", tagged)  # it is frozen, and this spares every request the question

    def deployments(self) -> Iterator[Deployment]:
        """Of every model, in the order of the configuration."""
        return chain.from_iterable(self.models.values())

    def names(self) -> list[str]:
        """What can be asked for: models first, then aliases, then routes, each in the order of the configuration."""
        groups = [name for name in (*self.aliases, *self.routes) if name not in self.models and self._members(name)]
        return [*self.models, *dict.fromkeys(groups)]

    def resolve(self, name: str) -> tuple[str, ...]:
        """The models behind a name. Raises MODEL_NOT_FOUND naming near matches, or UNAVAILABLE for a disabled one."""
        if name in self.models:
            return (name,)
        if members := self._members(name):
            return members
        if name in self.disabled:
            raise GatewayError(ErrorKind.UNAVAILABLE, f"Model {name!r} is configured but not usable: {self.disabled[name]}")
        if name in self.aliases or name in self.routes:
            raise GatewayError(ErrorKind.UNAVAILABLE, f"None of the models behind {name!r} is usable.")
        raise self._not_found(name)

    def knows(self, name: str) -> bool:
        """Whether a name is configured, usable or not."""
        return any(name in group for group in (self.models, self.aliases, self.disabled, self.routes))

    def strategy(self, name: str, default: Strategy) -> Strategy:
        """How one is chosen among the deployments behind a name."""
        route = self.routes.get(name)
        return (route.strategy if route is not None else None) or default

    def candidates(self, name: str, strategy: Strategy) -> list[Candidate]:
        """Every deployment behind a name, with its rank and shares there; none for a name that has none."""
        if name in self.models:
            return _of_model(self.models[name])
        if name in self.routes:
            return _of_route(self.routes[name], self.models)
        found: list[Candidate] = []
        for place, member in enumerate(self._members(name)):
            rank = (place,) if strategy in _ALIAS_IN_ORDER else (0,)
            found += _of_model(self.models[member], rank, turns=1 / len(self.models[member]))
        return found

    def _members(self, name: str) -> tuple[str, ...]:
        route = self.routes.get(name)
        listed = self.aliases.get(name, ()) if route is None else tuple(model.model_name for model in route.models)
        return tuple(model for model in listed if model in self.models)

    def _not_found(self, name: str) -> GatewayError:
        from difflib import get_close_matches  # not for the cold start: most requests name a model that exists

        near = get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else " GET /v1/models lists those that exist."
        return GatewayError(ErrorKind.MODEL_NOT_FOUND, f"The model {name!r} does not exist.{hint}", param="model")


def _of_model(
    deployments: Sequence[Deployment], rank: tuple[int, ...] = (0,), *, share: float | None = None, turns: float = 1.0
) -> list[Candidate]:
    """`share`: what all of the deployments get together, by weight; None leaves the weights as they are."""
    total = sum(one.weight for one in deployments) or 1.0
    scale = 1.0 if share is None else share / total
    return [Candidate(one, (*rank, one.priority), one.weight * scale, turns) for one in deployments]


def _of_route(route: Route, models: Mapping[str, Sequence[Deployment]]) -> list[Candidate]:
    """A model's share of a route is its weight, however many deployments it has."""
    found: list[Candidate] = []
    for model in route.models:
        deployments = models.get(model.model_name, ())
        if deployments:
            found += _of_model(deployments, (model.priority,), share=model.weight, turns=1 / len(deployments))
    return found
