"""Names that point at each other, and values that must fit together.

The checks read the plain data, not the validated configuration, so that a file with a misspelt key still hears about its
dangling alias in the same run. What has the wrong shape is passed over here: validation tells of it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pllm.core.config.cycles import find_cycles
from pllm.core.config.policies import LAMBDA_BODY_BYTES
from pllm.core.config.problem import Path
from pllm.core.config.suggest import did_you_mean
from pllm.core.config.units import parse_duration, parse_size

FALLBACK_KEYS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
LAMBDA_MAX_S = 900


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem without a place in a text yet. `key`: the key at `path` is meant, not its value."""

    path: Path
    message: str
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"
    key: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """What can be named, in order of appearance."""

    models: Mapping[str, Path]
    aliases: Mapping[str, tuple[str, ...]]
    routes: Mapping[str, Path]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.models, *self.aliases, *self.routes)


def check_references(data: Any) -> list[Finding]:
    """Everything that does not fit together in a configuration's plain data."""
    if not isinstance(data, dict):
        return []
    names = _names(data)
    checks: tuple[Callable[[dict[str, Any], Names], Iterator[Finding]], ...] = (
        _check_entries,
        _check_ids,
        _check_weights,
        _check_aliases,
        _check_routes,
        _check_fallbacks,
        _check_cycles,
        _check_policies,
        _check_breaker,
        _check_limits,
    )
    return [finding for check in checks for finding in check(data, names)]


def _names(data: dict[str, Any]) -> Names:
    models: dict[str, Path] = {}
    for path, entry in _entries(data):
        if isinstance(name := entry.get("model_name"), str):
            models.setdefault(name, path)
    aliases = {alias: tuple(_texts(members)) for alias, members in _mapping(data.get("model_aliases")).items()}
    routes: dict[str, Path] = {}
    for path, route in _items(data.get("routes"), ("routes",)):
        if isinstance(slug := route.get("slug"), str):
            routes.setdefault(slug, path)
    return Names(models, aliases, routes)


def _check_entries(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    if data.get("model_list") == []:
        yield Finding(("model_list",), "'model_list' is empty: there is nothing to serve")
    seen: dict[str, Path] = {}
    for path, entry in _entries(data):
        given = [key for key in ("params", "provider") if entry.get(key) is not None]
        if len(given) != 1:
            message = "both 'params' and 'provider' are given" if given else "the key 'params' (or 'provider') is missing"
            yield Finding(path, f"{message} in 'model_list[{path[-1]}]'", "give one of the two" if given else "")
        twin = seen.setdefault(json.dumps(entry, sort_keys=True), path)
        if twin != path:
            message = f"'model_list[{path[-1]}]' repeats 'model_list[{twin[-1]}]' word for word"
            yield Finding(path, message, "leave it out; one deployment does not count twice", "warning")
        yield from _check_times(path, entry)
        yield from _check_provider_form(path, _mapping(entry.get("provider")))


def _check_times(path: Path, entry: dict[str, Any]) -> Iterator[Finding]:
    timeout = _seconds(entry.get("timeout"))
    if timeout is not None and timeout > LAMBDA_MAX_S:
        message = f"a timeout of {timeout:g} s is longer than a Lambda function lives ({LAMBDA_MAX_S} s)"
        yield Finding((*path, "timeout"), message, severity="warning")


_SAME = (
    ("model", "azure_deployment"),
    ("base_url", "azure_endpoint"),
    ("region", "aws_region_name"),
    ("project_id", "vertex_project"),
    ("location", "vertex_location"),
)


def _check_provider_form(path: Path, provider: Mapping[str, Any]) -> Iterator[Finding]:
    place = (*path, "provider")
    for one, other in _SAME:
        if provider.get(one) is not None and provider.get(other) is not None:
            yield Finding((*place, other), f"'{one}' and '{other}' say the same thing", "give one of the two", key=True)
    if provider and provider.get("model") is None and provider.get("azure_deployment") is None:
        yield Finding(place, f"the key 'model' is missing in 'model_list[{path[-1]}].provider'")


def _check_ids(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    seen: dict[str, Path] = {}
    for path, entry in _entries(data):
        own = entry.get("id")
        if isinstance(own, str) and own in seen:
            yield Finding((*path, "id"), f"the id '{own}' is already that of 'model_list[{seen[own][-1]}]'", "ids are unique")
        elif isinstance(own, str):
            seen[own] = path


def _check_weights(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    weights_of: dict[str, list[Any]] = {name: [] for name in names.models}
    for _, entry in _entries(data):
        weights_of.get(str(entry.get("model_name")), []).append(entry.get("weight"))
    for name, first in names.models.items():
        if all(_is_zero(weight) for weight in weights_of[name]):
            yield Finding(
                (*first, "weight"), f"every entry of '{name}' has weight 0: none would ever be chosen", "use enabled: false"
            )
    for path, route in _items(data.get("routes"), ("routes",)):
        weights = [model.get("weight") for _, model in _items(route.get("models"), ())]
        if weights and len(weights) == len(route["models"]) and all(_is_zero(weight) for weight in weights):
            yield Finding((*path, "models"), "every model of this route has weight 0: none would ever be chosen")


def _check_aliases(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    for alias, members in names.aliases.items():
        path: Path = ("model_aliases", alias)
        if alias in names.models:
            yield Finding(
                path, f"the alias '{alias}' has the name of a model and would hide it", "give it another name", key=True
            )
        if data["model_aliases"][alias] == []:
            yield Finding(path, f"the alias '{alias}' names no model")
        for place, member in _places(data["model_aliases"][alias], path):
            if member in names.aliases:
                yield Finding(place, f"the alias '{alias}' names '{member}', which is an alias itself", "name its models")
            elif member in names.routes:
                yield Finding(place, f"the alias '{alias}' names '{member}', which is a route", "name its models")
            elif member not in names.models:
                yield _unknown(place, f"the alias '{alias}' names the unknown model '{member}'", member, names.models)
        yield from _twice(members, path, f"the alias '{alias}'")


def _check_routes(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    for path, route in _items(data.get("routes"), ("routes",)):
        slug = route.get("slug")
        for taken, what in ((names.models, "a model"), (names.aliases, "an alias")):
            if slug in taken:
                yield Finding(
                    (*path, "slug"), f"the route '{slug}' has the name of {what} and would hide it", "give it another slug"
                )
        if isinstance(slug, str) and names.routes.get(slug) != path:
            yield Finding((*path, "slug"), f"there are two routes '{slug}'", "slugs are unique")
        yield from _check_route_models(route, path, str(slug), names)


def _check_route_models(route: dict[str, Any], path: Path, slug: str, names: Names) -> Iterator[Finding]:
    if route.get("models") == []:
        yield Finding((*path, "models"), f"the route '{slug}' has no models")
    members: list[str] = []
    models = route.get("models")
    for number, model in enumerate(models if isinstance(models, list) else [models]):
        place = (*path, "models", number)
        name = model.get("model_name") if isinstance(model, dict) else model
        if isinstance(name, str) and name not in names.models:
            yield _unknown(place, f"the route '{slug}' names the unknown model '{name}'", name, names.models)
        members += [name] if isinstance(name, str) else []
    yield from _twice(members, (*path, "models"), f"the route '{slug}'")
    for place, name in _places(route.get("fallback_models"), (*path, "fallback_models")):
        if name not in names.all:
            message = f"the route '{slug}' falls back to the unknown model '{name}', which will be passed over"
            yield _unknown(place, message, name, names.all, "warning")


def _check_fallbacks(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    for key in FALLBACK_KEYS:
        for name, targets in _mapping(_mapping(data.get("router")).get(key)).items():
            path: Path = ("router", key, name)
            if name not in names.all:
                message = f"'router.{key}' is for the unknown model '{name}', so it is never used"
                yield _unknown(path, message, name, names.all, "warning", key=True)
            for place, target in _places(targets, path):
                if target not in names.all:
                    message = f"'{name}' falls back to the unknown model '{target}', which will be passed over"
                    others = tuple(other for other in names.all if other != name)
                    yield _unknown(place, message, target, others, "warning")


def _check_cycles(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    for key in FALLBACK_KEYS:
        fallbacks = {name: tuple(_texts(targets)) for name, targets in _mapping(_mapping(data.get("router")).get(key)).items()}
        for cycle in find_cycles(fallbacks, names.aliases):
            shown = " -> ".join((*cycle, cycle[0]))
            yield Finding(
                ("router", key, cycle[0]), f"'router.{key}' goes round in a circle: {shown}", "take one step out", key=True
            )


def _check_policies(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    for section in ("limits", "budgets"):
        for name in _mapping(_mapping(data.get(section)).get("models")):
            if name not in names.all:
                message = f"'{section}.models' is for the unknown model '{name}', so it is never used"
                yield _unknown((section, "models", name), message, name, names.all, "warning", key=True)


def _check_breaker(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    breaker = _mapping(_mapping(data.get("router")).get("circuit_breaker"))
    cooldown, longest = _seconds(breaker.get("cooldown", 30)), _seconds(breaker.get("max_cooldown", 300))
    if cooldown is not None and longest is not None and longest < cooldown:
        path: Path = ("router", "circuit_breaker", "max_cooldown" if "max_cooldown" in breaker else "cooldown")
        yield Finding(path, f"max_cooldown ({longest:g} s) is shorter than cooldown ({cooldown:g} s)")


def _check_limits(data: dict[str, Any], names: Names) -> Iterator[Finding]:
    try:
        size = parse_size(_mapping(data.get("limits")).get("max_body"))
    except ValueError:
        return
    if size > LAMBDA_BODY_BYTES:
        message = f"a body of {size} bytes is larger than what Lambda takes ({LAMBDA_BODY_BYTES} bytes): that limit holds"
        yield Finding(("limits", "max_body"), message, severity="warning")


def _unknown(
    path: Path,
    message: str,
    name: str,
    known: Mapping[str, Any] | tuple[str, ...],
    severity: Literal["error", "warning"] = "error",
    *,
    key: bool = False,
) -> Finding:
    return Finding(path, message, did_you_mean(name, known), severity, key)


def _twice(members: list[str] | tuple[str, ...], path: Path, who: str) -> Iterator[Finding]:
    for number, member in enumerate(members):
        if member in members[:number]:
            yield Finding((*path, number), f"{who} names '{member}' twice", "name it once")


def _entries(data: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    return _items(data.get("model_list"), ("model_list",))


def _items(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield (*path, number), item


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _places(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """The texts of a list, or the one text in its place, each with its path."""
    if isinstance(value, str):
        yield path, value
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, str):
            yield (*path, number), item


def _texts(value: Any) -> list[str]:
    return [text for _, text in _places(value, ())]


def _seconds(value: Any) -> float | None:
    try:
        return parse_duration(value)
    except ValueError:
        return None


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0
