"""The catalogue as it is looked things up in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.catalogue.names import spellings
from pllm.core.catalogue.rows import CatalogueError, Row, profile_of_row
from pllm.core.profile import ModelProfile

SCHEMA = 1

_UNKNOWN = ModelProfile()


@dataclass(frozen=True, slots=True)
class ModelCatalogue:
    """`version`: ISO date of the newest file it is made of. `models`: provider -> name in lower case -> row."""

    version: str
    families: Mapping[str, Row] = field(default_factory=dict)
    providers: Mapping[str, Row] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)

    def profile_of(self, provider: str, model: str, today: str) -> ModelProfile:
        """What is known of a model as `provider` (a registry name) serves it; a model that is not known gets the permissive
        default. `today` (ISO date) decides which announced prices hold. Raises CatalogueError for a malformed row."""
        row = self.row(provider, model)
        return _UNKNOWN if row is None else profile_of_row(f"{provider}/{model}", row, today)

    def row(self, provider: str, model: str) -> Row | None:
        """The row that describes a model, with all that it starts from laid under it; None when there is none."""
        for name, priced in spellings(model):
            for place, theirs in self._places(provider, name):
                if place[1] in self.models.get(place[0], {}):
                    found = self.resolved(*place)
                    found.update(self.providers.get(provider, {}).get("always") or {})
                    return found if priced and theirs else {**found, "prices": None, "price_changes": None}
        return None

    def resolved(self, provider: str, name: str, behind: tuple[str, ...] = ()) -> dict[str, Any]:
        """A row's fields over those of its family and of the row it names with `of`."""
        where = f"{provider}/{name}"
        if where in behind:
            raise CatalogueError(f"{where} starts from itself: {' -> '.join((*behind, where))}")
        row = self.models.get(provider, {}).get(name)
        if row is None:
            raise CatalogueError(f"{behind[-1] if behind else where} starts from {where}, which is not in the catalogue")
        found: dict[str, Any] = {}
        if "of" in row:
            base_provider, _, base_name = str(row["of"]).partition("/")
            found.update(self.resolved(base_provider, base_name, (*behind, where)))
        if "like" in row:
            found.update(self.family(str(row["like"]), where))
        if "prices" in row:
            found.pop("price_changes", None)
        return found | dict(row)

    def family(self, name: str, wanted_by: str) -> dict[str, Any]:
        """The fields of a family, over those of the family it is like."""
        chain: list[Row] = []
        seen: list[str] = []
        nearest: str | None = name
        while nearest is not None:
            if nearest not in self.families or nearest in seen:
                raise CatalogueError(f"{wanted_by} is like {nearest!r}, which is no family, or is like itself")
            seen.append(nearest)
            chain.append(self.families[nearest])
            nearest = chain[-1].get("like")
        return {key: value for row in reversed(chain) for key, value in row.items() if key not in ("like", "source")}

    def _places(self, provider: str, name: str) -> Iterator[tuple[tuple[str, str], bool]]:
        """((provider, name), whether the prices there hold here), the provider's own rows first."""
        yield (provider, name), True
        seller = self.providers.get(provider, {})
        for prefix, target in (seller.get("borrows") or {}).items():
            if name.startswith(prefix):
                vendor, _, start = target.partition("/")
                yield (vendor, start + name[len(prefix) :]), prefix not in (seller.get("unpriced") or ())


def parse(data: bytes | str, name: str) -> ModelCatalogue:
    """A catalogue from its JSON. `name` is for messages. Raises CatalogueError; single rows are checked when they are used
    (`pllm models refresh` checks them all)."""
    try:
        document = json.loads(data)
    except RecursionError:
        raise CatalogueError(f"{name}: not JSON: nested too deep") from None
    except ValueError as error:
        raise CatalogueError(f"{name}: not JSON: {error}") from None
    return from_document(document, name)


def from_document(document: object, name: str) -> ModelCatalogue:
    """A catalogue from its JSON document."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise CatalogueError(f'{name}: not a model catalogue: it must be an object with "schema": {SCHEMA}')
    if not isinstance(document.get("version"), str):
        raise CatalogueError(f"{name}: 'version' must be the catalogue's date, such as \"2026-11-22\"")
    parts: dict[str, dict[str, Any]] = {}
    for key in ("families", "providers", "models"):
        part = document.get(key, {})
        if not isinstance(part, dict) or not all(isinstance(value, dict) for value in part.values()):
            raise CatalogueError(f"{name}: {key!r} must be an object of objects")
        parts[key] = part
    models = {provider: {model.lower(): row for model, row in rows.items()} for provider, rows in parts["models"].items()}
    return ModelCatalogue(document["version"], parts["families"], parts["providers"], models)


def layered(front: ModelCatalogue, back: ModelCatalogue) -> ModelCatalogue:
    """`front` over `back`: rows of one name are laid over each other field by field (`prices` is one field); families and
    providers of one name are replaced."""
    models = {provider: dict(rows) for provider, rows in back.models.items()}
    for provider, rows in front.models.items():
        mine = models.setdefault(provider, {})
        for name, row in rows.items():
            mine[name] = over(row, mine.get(name, {}))
    return ModelCatalogue(
        max(front.version, back.version), {**back.families, **front.families}, {**back.providers, **front.providers}, models
    )


def over(row: Row, old: Row) -> dict[str, Any]:
    """`row` laid over `old`. New prices end the announced changes of the old ones."""
    kept = {key: value for key, value in old.items() if not (key == "price_changes" and "prices" in row)}
    return kept | dict(row)
