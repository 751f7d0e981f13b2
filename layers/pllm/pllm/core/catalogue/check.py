"""A whole catalogue looked at before it is put to use: every row, not only those that a configuration needs."""

import re
from collections.abc import Iterator, Mapping

from pllm.core.catalogue.book import ModelCatalogue
from pllm.core.catalogue.rows import CatalogueError, Row, prices_of_row, profile_of_row

_DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d", re.ASCII)
_LATEST = "9999-12-31"


def problems(catalogue: ModelCatalogue) -> list[str]:
    """Everything that is wrong, one line each, in the file's order; empty for a sound catalogue."""
    found = [] if _DATE.fullmatch(catalogue.version) else [f"'version' is {catalogue.version!r}; it must be a date"]
    for name, family in catalogue.families.items():
        found += _family_problems(catalogue, name, family)
    for provider, seller in catalogue.providers.items():
        found += _seller_problems(catalogue, provider, seller)
    for provider, rows in catalogue.models.items():
        for name in rows:
            found += _row_problems(catalogue, provider, name)
    return found


def _family_problems(catalogue: ModelCatalogue, name: str, family: Row) -> Iterator[str]:
    where = f"family {name}"
    try:
        profile_of_row(where, catalogue.family(name, where), _LATEST)
    except CatalogueError as error:
        yield str(error)
    if not family.get("source"):
        yield f"{where}: 'source' is missing: say where this comes from"


def _seller_problems(catalogue: ModelCatalogue, provider: str, seller: Row) -> Iterator[str]:
    where = f"provider {provider}"
    for key in seller.keys() - {"borrows", "unpriced", "always"}:
        yield f"{where}: there is no key {key!r}"
    borrows = seller.get("borrows") or {}
    if not isinstance(borrows, Mapping):
        yield f"{where}: 'borrows' must be an object: the start of a name here -> the start of it there"
        return
    for target in borrows.values():
        if target.partition("/")[0] not in catalogue.models:
            yield f"{where}: borrows from {target!r}, which names no provider of the catalogue"
    for prefix in seller.get("unpriced") or ():
        if prefix not in borrows:
            yield f"{where}: 'unpriced' names {prefix!r}, which is not among 'borrows'"
    try:
        profile_of_row(where, seller.get("always") or {}, _LATEST)
    except CatalogueError as error:
        yield str(error)


def _row_problems(catalogue: ModelCatalogue, provider: str, name: str) -> Iterator[str]:
    where, row = f"{provider}/{name}", catalogue.models[provider][name]
    if not row.get("source"):
        yield f"{where}: 'source' is missing: say where this comes from"
    if not _DATE.fullmatch(str(row.get("as_of", ""))):
        yield f"{where}: 'as_of' is {row.get('as_of')!r}; it must be the day on which the source was read"
    yield from _change_problems(where, row)
    try:
        prices = profile_of_row(where, catalogue.resolved(provider, name), "").prices
    except CatalogueError as error:
        yield str(error)
        return
    long = (prices.long_context_over, prices.long_input, prices.long_output)
    if any(value is not None for value in long) and None in long:
        yield f"{where}: long-context prices need 'long_context_over', 'long_input' and 'long_output', all three"


def _change_problems(where: str, row: Row) -> Iterator[str]:
    changes = row.get("price_changes") or []
    if not isinstance(changes, list) or not all(isinstance(change, Mapping) for change in changes):
        yield f"{where}: 'price_changes' must be a list of objects with 'from' and 'prices'"
        return
    days = [str(change.get("from", "")) for change in changes]
    if days != sorted(days) or not all(_DATE.fullmatch(day) for day in days):
        yield f"{where}: 'price_changes' must be in the order of their days"
    for change in changes:
        try:
            prices_of_row(where, change.get("prices"), "")
        except CatalogueError as error:
            yield str(error)
