"""The way of a request that the admin page draws is the way that requests go: both are asked about many small worlds."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from tests.support.processes import ROOT, require

from pllm.core.config.schema import Route, RouteModel, Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.plan import Plan, RoutingPolicy, Surroundings
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue

SCRIPT = ROOT / "tests" / "node" / "ways.mjs"
MODULE = ROOT / "layers" / "pllm" / "pllm" / "admin" / "ui" / "static" / "pages" / "routes" / "world.js"

MODELS = ("a", "b", "c", "d", "e")
Fallbacks = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Small:
    """Few enough names that a request's tries do not run out before they do."""

    aliases: Fallbacks
    routes: tuple[Route, ...]
    fallbacks: Fallbacks
    context: Fallbacks
    policy: Fallbacks

    def answer(self) -> dict[str, Any]:
        """What /api/admin/routes would say."""
        routes = [
            {
                "slug": route.slug,
                "strategy": "priority",
                "models": [{"model_name": one.model_name, "weight": 1.0, "priority": 0} for one in route.models],
                "fallback_models": list(route.fallback_models),
                "enabled": True,
            }
            for route in self.routes
        ]
        named = {"fallbacks": self.fallbacks, "context_window_fallbacks": self.context, "content_policy_fallbacks": self.policy}
        return {"strategy": "priority", "retries": 0, "routes": routes, "aliases": self.aliases, **named}

    def tried(self, name: str, first: ErrorKind) -> list[str]:
        """The models that are asked, when the first fails so and all others by an outage."""
        catalogue = Catalogue(
            {model: (Deployment(model, model, "openai", "x"),) for model in MODELS},
            self.aliases,
            {},
            {route.slug: route for route in self.routes},
        )
        policy = RoutingPolicy(Strategy.PRIORITY, 0, self.fallbacks, self.context, self.policy)
        plan = Plan(catalogue, policy, name, Surroundings(Random(1), Rota(Random(1))))
        found: list[str] = []
        while (step := plan.next()) is not None:
            found.append(step.deployment.model_name)
            plan.failed(step, GatewayError(first if len(found) == 1 else ErrorKind.UPSTREAM_ERROR, "x"))
        return found

    def models_of(self, name: str) -> tuple[str, ...]:
        route = next((one for one in self.routes if one.slug == name), None)
        return self.aliases.get(name, (name,) if route is None else tuple(one.model_name for one in route.models))


def small(random: Random) -> Small:
    """`x` is an alias, `r` a route: they fall back, and are fallen back to, like models."""
    names = (*MODELS, "x", "r")

    def some(most: int) -> tuple[str, ...]:
        return tuple(random.sample(names, random.randint(0, most)))

    def fallbacks() -> Fallbacks:
        return {name: targets for name in names if (targets := some(2))}

    route = Route(slug="r", models=(RouteModel(model_name=random.choice(MODELS)),), fallback_models=some(2))
    return Small({"x": tuple(random.sample(MODELS, 2))}, (route,), fallbacks(), fallbacks(), fallbacks())


def drawn(asked: list[tuple[Small, str]]) -> list[dict[str, list[str]]]:
    models: list[Any] = [{"name": name, "problem": None, "deployments": []} for name in MODELS]
    whole = [{"routes": world.answer(), "models": models, "name": name} for world, name in asked]
    done = subprocess.run(
        ["node", str(SCRIPT), MODULE.as_uri()], input=json.dumps(whole), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, list[str]]] = json.loads(done.stdout)
    return found


@pytest.mark.needs_node
def test_requests_go_where_the_page_says() -> None:
    require(shutil.which("node") is not None, "Node")
    random = Random(7)
    asked = [(small(random), name) for _ in range(200) for name in (*MODELS, "x", "r")]
    lengths = set()
    for (world, name), ways in zip(asked, drawn(asked), strict=True):
        path = [model for step in (name, *ways["failure"]) for model in world.models_of(step)]
        assert world.tried(name, ErrorKind.UPSTREAM_ERROR) == list(dict.fromkeys(path)), (world, name)
        lengths.add(len(ways["failure"]))
    assert len(lengths) > 4


@pytest.mark.needs_node
@pytest.mark.parametrize(("kind", "way"), [(ErrorKind.CONTEXT_LENGTH, "context"), (ErrorKind.CONTENT_POLICY, "policy")])
def test_what_a_model_cannot_or_will_not_answer_goes_first_where_the_page_says(kind: ErrorKind, way: str) -> None:
    require(shutil.which("node") is not None, "Node")
    random = Random(8)
    asked = [(small(random), name) for _ in range(100) for name in MODELS]
    for (world, name), ways in zip(asked, drawn(asked), strict=True):
        path = [model for step in ways[way] for model in world.models_of(step) if model != name]
        tried = world.tried(name, kind)
        first = list(dict.fromkeys(path))
        assert tried[1 : 1 + len(first)] == first, (world, name)
