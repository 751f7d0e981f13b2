"""What the tests of plans share."""

from collections.abc import Sequence
from random import Random
from typing import Any

from pllm.core.config.schema import Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import DeploymentHealth
from pllm.core.plan import Plan, RoutingPolicy, Surroundings
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue

DOWN = ErrorKind.UPSTREAM_ERROR


def deployments(*names: str, **more: Any) -> tuple[Deployment, ...]:
    return tuple(Deployment(name, name.split("/")[0], "openai", "x", **more) for name in names)


def catalogue(*models: Sequence[Deployment], **more: Any) -> Catalogue:
    return Catalogue({model[0].model_name: tuple(model) for model in models}, **more)


def plan(known: Catalogue, name: str, policy: RoutingPolicy | None = None, **world: Any) -> Plan:
    random = Random(1)
    view: dict[str, DeploymentHealth] = world.pop("health", {})
    surroundings = Surroundings(random, Rota(random), lambda ids: {one: view[one] for one in ids if one in view}, **world)
    return Plan(known, policy or RoutingPolicy(Strategy.PRIORITY, retries=0), name, surroundings)


def walked(one: Plan, error: ErrorKind = DOWN, **details: Any) -> list[str]:
    """Everything that is tried while everything fails."""
    tried = []
    while (step := one.next()) is not None:
        tried.append(step.deployment.id)
        one.failed(step, GatewayError(error, "x", **details))
    return tried
