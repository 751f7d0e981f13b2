"""The configuration file, whole. The keys are those of docs/config-reference.md, which is generated from these classes."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pllm.core.config.kinds import Count, Duration, Flag, Index, Name, Names, OneOrMany, Ratio, Shorthand, Text, Weight, one_of
from pllm.core.config.model_entry import ModelEntry, ModelInfo, Params, ProviderForm, RequestDefaults
from pllm.core.config.policies import (
    Auth,
    Budget,
    Budgets,
    Cache,
    Guardrail,
    IamPrincipal,
    Limit,
    Limits,
    Logging,
    OidcIssuer,
    Telemetry,
)
from pllm.core.config.section import Section, section

__all__ = [
    "Auth",
    "Budget",
    "Budgets",
    "Cache",
    "CircuitBreaker",
    "Config",
    "Guardrail",
    "HealthProbes",
    "IamPrincipal",
    "Limit",
    "Limits",
    "Logging",
    "ModelEntry",
    "ModelInfo",
    "OidcIssuer",
    "Params",
    "ProviderForm",
    "RequestDefaults",
    "Route",
    "RouteModel",
    "Router",
    "Strategy",
    "Telemetry",
]


class Strategy(StrEnum):
    """How one deployment is chosen among those of a model."""

    PRIORITY = "priority"
    LATENCY_BASED = "latency-based"
    ROUND_ROBIN = "round-robin"
    WEIGHTED = "weighted"
    RANDOM = "random"
    COST_BASED = "cost-based"
    LEAST_BUSY = "least-busy"
    USAGE_BASED = "usage-based"


STRATEGY_SYNONYMS: Mapping[str, Strategy] = {
    "least-latency": Strategy.LATENCY_BASED,
    "latency-based-routing": Strategy.LATENCY_BASED,
    "lowest-latency": Strategy.LATENCY_BASED,
    "weighted-round-robin": Strategy.WEIGHTED,
    "simple-shuffle": Strategy.WEIGHTED,
    "simple": Strategy.ROUND_ROBIN,
    "roundrobin": Strategy.ROUND_ROBIN,
    "shuffle": Strategy.RANDOM,
    "lowest-cost": Strategy.COST_BASED,
    "cost-based-routing": Strategy.COST_BASED,
    "least-cost": Strategy.COST_BASED,
    "least-connections": Strategy.LEAST_BUSY,
    "usage-based-routing": Strategy.USAGE_BASED,
    "usage-based-routing-v2": Strategy.USAGE_BASED,
    "least-used": Strategy.USAGE_BASED,
}

StrategyName = Annotated[Strategy, one_of(Strategy, STRATEGY_SYNONYMS)]
Fallbacks = Mapping[Name, Names]
UsageMode = Literal["amortised", "exact"]


@section
class CircuitBreaker(Section):
    """When a failing deployment is left alone, and for how long."""

    min_failures: Annotated[Count, "Failures within a minute before it may open."] = 5
    failure_ratio: Annotated[Ratio, "Share of failures from which it opens."] = 0.5
    cooldown: Annotated[Duration, "How long it stays open the first time."] = 30.0
    max_cooldown: Annotated[Duration, "How long it stays open at most, when probes keep failing."] = 300.0


@section
class HealthProbes(Section):
    """What the scheduled function asks of deployments of which no request tells. It runs where the template's `HealthProbes` is
    on."""

    enabled: Annotated[Flag, "Whether anything is asked."] = True
    providers: Annotated[Names, "Providers (globs) that are asked, by a call that costs nothing where they have one."] = ("*",)
    paid: Annotated[
        Names, "Providers (globs) whose chat models are asked for one token instead, which costs that much. Default: none."
    ] = ()
    idle_after: Annotated[Duration, "Ask a deployment of which nothing was heard for so long."] = 900.0
    timeout: Annotated[Duration, "Longest wait for an answer."] = 10.0


@section
class Router(Section):
    """How a deployment is chosen and what happens when it fails."""

    routing_strategy: Annotated[StrategyName, "How a deployment is chosen."] = Strategy.WEIGHTED
    circuit_breaker_enabled: Annotated[Flag, "Whether failing deployments are left alone for a while."] = True
    circuit_breaker: Annotated[CircuitBreaker, "When, and for how long."] = field(default_factory=CircuitBreaker)
    health_probes: Annotated[HealthProbes, "What is asked of idle and failing deployments."] = field(
        default_factory=HealthProbes
    )
    retries: Annotated[
        Index,
        "Further tries on the same model after a failure that may pass, each after what `Retry-After` asks plus a random part "
        "of 0.25 s, 0.5 s, ... 8 s (full jitter), and only where the request's deadline allows.",
    ] = 2
    attempt_timeout: Annotated[
        Duration | None, "Longest wait for one attempt's first byte. Default: the entry's `timeout`."
    ] = None
    hedge_after: Annotated[
        Duration | None,
        "Start a second attempt when the first is silent for so long, if limits and budgets have room for both: the one that "
        "loses may be billed, and is charged. Default: never.",
    ] = None
    fallbacks: Annotated[Fallbacks, "Models to try, in order, when a model fails."] = field(default_factory=dict)
    context_window_fallbacks: Annotated[Fallbacks, "Models to try when the prompt is too long for a model."] = field(
        default_factory=dict
    )
    content_policy_fallbacks: Annotated[Fallbacks, "Models to try when a provider's content filter refuses."] = field(
        default_factory=dict
    )
    drop_unsupported: Annotated[
        Flag, "Drop request fields a model does not support (and report them), instead of answering 400."
    ] = False
    repair_history: Annotated[Flag, "Mend conversations with orphaned tool calls, instead of answering 400."] = False


@section
class RouteModel(Section):
    """A model of a route."""

    model_name: Annotated[Name, "A name of `model_list`."]
    weight: Annotated[Weight, "Share of the route's traffic."] = 1.0
    priority: Annotated[Index, "Lower numbers go first."] = 0


RouteModels = Annotated[tuple[Annotated[RouteModel, Shorthand("model_name")], ...], OneOrMany()]


@section
class Route(Section):
    """A name of its own for a choice among models."""

    slug: Annotated[Name, "What clients call it, in place of a model."]
    name: Annotated[Text | None, "Title for people."] = None
    description: Annotated[Text | None, "What it is for."] = None
    strategy: Annotated[StrategyName | None, "How a model is chosen. Default: the router's."] = None
    models: Annotated[RouteModels, "The models: names, or mappings with weight and priority."]
    fallback_models: Annotated[Names, "Models to try, in order, when all of these fail."] = ()
    enabled: Annotated[Flag, "Whether it is served."] = True


@section
class Config(Section):
    """All sections; only `model_list` must be there.

    Texts may still hold `${NAME}`: `resolve` fills them in.
    """

    model_list: Annotated[tuple[ModelEntry, ...], "What clients may call."]
    model_aliases: Annotated[Mapping[Name, Names], "A name for several models."] = field(default_factory=dict)
    routes: Annotated[tuple[Route, ...], "Names with a choice of their own."] = ()
    router: Annotated[Router, "How deployments are chosen."] = field(default_factory=Router)
    limits: Annotated[Limits, "Requests, tokens and parallel calls."] = field(default_factory=Limits)
    budgets: Annotated[Budgets, "Money."] = field(default_factory=Budgets)
    cache: Annotated[Cache, "Answers kept."] = field(default_factory=Cache)
    auth: Annotated[Auth, "Who may call."] = field(default_factory=Auth)
    logging: Annotated[Logging, "The log."] = field(default_factory=Logging)
    telemetry: Annotated[Telemetry, "Traces."] = field(default_factory=Telemetry)
    guardrails: Annotated[tuple[Guardrail, ...], "Checks of what goes in and comes out."] = ()
    usage: Annotated[
        Annotated[UsageMode, one_of(get_args(UsageMode))],
        "`amortised`: usage rows are written every 10 s. `exact`: after each request.",
    ] = "amortised"
