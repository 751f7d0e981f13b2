"""Names behind which several embedding models stand: vectors of different models, or of different lengths, cannot be compared,
and whoever searches by them would find nothing without being told why."""

import re
from collections.abc import Iterable, Iterator, Mapping

from pllm.core.config.problem import Path, dotted
from pllm.core.config.schema import Config

# One model has other names at other providers: us.cohere.embed-v4:0, embed-v4.0, models/embed-v4.
_BEFORE = re.compile(r"^(?:.*/)?(?:(?:us-gov|us|eu|apac|global)\.)?(?:amazon\.|cohere\.)?")
_BEHIND = re.compile(r"(?:\.0|:0)$")


def vectors_of(model: str, dimensions: int | None) -> str:
    """What kind of vectors a deployment makes: its model, by a name that all providers share, and their length where that is
    configured."""
    name = _BEHIND.sub("", _BEFORE.sub("", model.strip().lower()))
    return f"{name} of {dimensions} dimensions" if dimensions else name


def mixed(config: Config, vectors: Mapping[str, frozenset[str]]) -> Iterator[tuple[Path, str]]:
    """(where, what) for each name that may be answered by different embedding models. `vectors`: the name of a model of the
    configuration -> what its deployments make; only those that make any."""
    for name, kinds in vectors.items():
        number = next(place for place, entry in enumerate(config.model_list) if entry.model_name == name)
        yield from _told(("model_list", number), kinds, f" behind {name!r}")
    for alias, members in config.model_aliases.items():
        yield from _told(("model_aliases", alias), _kinds(members, config, vectors))
    for number, route in enumerate(config.routes):
        names = (*(model.model_name for model in route.models), *route.fallback_models)
        yield from _told(("routes", number), _kinds(names, config, vectors), f" behind {route.slug!r}")
    for kind in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        for name, targets in getattr(config.router, kind).items():
            yield from _told(("router", kind, name), _kinds((name, *targets), config, vectors))


def _kinds(names: Iterable[str], config: Config, vectors: Mapping[str, frozenset[str]]) -> frozenset[str]:
    models = (member for name in names for member in (*config.model_aliases.get(name, ()), name))
    return frozenset(kind for model in models for kind in vectors.get(model, ()))


def _told(path: Path, kinds: frozenset[str], behind: str = "") -> Iterator[tuple[Path, str]]:
    if len(kinds) > 1:
        listed = " and ".join(sorted(kinds))
        yield (
            path,
            f"'{dotted(path)}' mixes embedding models{behind}: {listed} make vectors that cannot be compared; give each a name "
            "of its own (one model under another name is known by its model_info.base_model)",
        )
