"""/api/admin/models and /api/admin/routes: what is served, by whom, and how a name becomes deployments."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from pllm.admin.schemas import DeploymentView, ModelPage, ModelView, RouteModelView, RoutesView, RouteView
from pllm.admin.services import Running, Serving
from pllm.core.config.schema import Route
from pllm.core.deployment import Deployment

router = APIRouter(prefix="/api/admin", tags=["models"])


@router.get("/models", summary="List models and their deployments")
async def list_models(at: Serving) -> ModelPage:
    return ModelPage(data=models_of(at.running))


@router.get("/routes", summary="Look at routes, aliases and fallbacks")
async def get_routes(at: Serving) -> RoutesView:
    config = at.running.config
    router_config = config.router
    return RoutesView(
        strategy=router_config.routing_strategy,
        retries=router_config.retries,
        routes=[_route(route, router_config.routing_strategy) for route in config.routes],
        aliases=_lists(config.model_aliases),
        fallbacks=_lists(router_config.fallbacks),
        context_window_fallbacks=_lists(router_config.context_window_fallbacks),
        content_policy_fallbacks=_lists(router_config.content_policy_fallbacks),
    )


def models_of(running: Running) -> list[ModelView]:
    """Those that are served, then those that are configured and cannot be."""
    catalogue = running.catalogue
    aliases: dict[str, list[str]] = {}
    for alias, members in catalogue.aliases.items():
        for member in members:
            aliases.setdefault(member, []).append(alias)
    served = [
        ModelView(name=name, aliases=aliases.get(name, []), deployments=[_deployment(one) for one in deployments], problem=None)
        for name, deployments in catalogue.models.items()
    ]
    return served + [
        ModelView(name=name, aliases=aliases.get(name, []), deployments=[], problem=why)
        for name, why in catalogue.disabled.items()
    ]


def _deployment(one: Deployment) -> DeploymentView:
    return DeploymentView(
        id=one.id,
        provider=one.provider,
        model=one.model,
        dialects=list(one.dialects),
        api_base=one.api_base,
        region=one.region,
        credential=one.api_key.fingerprint() if one.api_key is not None else None,
        priority=one.priority,
        weight=one.weight,
        rpm=one.rpm,
        tpm=one.tpm,
        max_parallel=one.max_parallel,
        timeout_s=one.timeout_s,
        tags=list(one.tags),
    )


def _route(route: Route, default: str) -> RouteView:
    return RouteView(
        slug=route.slug,
        name=route.name,
        description=route.description,
        strategy=route.strategy or default,
        models=[RouteModelView(model_name=m.model_name, weight=m.weight, priority=m.priority) for m in route.models],
        fallback_models=list(route.fallback_models),
        enabled=route.enabled,
    )


def _lists(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(members) for name, members in groups.items()}
