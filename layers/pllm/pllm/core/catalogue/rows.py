"""A row of the catalogue, with all that it starts from laid under it, as a ModelProfile."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from pllm.core.profile import ModelApi, ModelProfile, Prices, StructuredOutput, ThinkingStyle

Row = Mapping[str, Any]

NOTES = frozenset({"like", "of", "source", "as_of", "price_changes", "prices"})
"""Keys of a row that are not fields of a profile."""

MODALITIES = frozenset({"text", "image", "audio", "file"})
_MODES = frozenset(get_args(get_type_hints(ModelProfile)["mode"]))
_CHOICES = {
    "mode": _MODES,
    "thinking": frozenset(get_args(ThinkingStyle)),
    "structured_output": frozenset(get_args(StructuredOutput)),
    "model_api": frozenset(get_args(ModelApi)),
}
_SETS = frozenset({"modalities", "refused_params"})
_COUNTS = frozenset({"max_input_tokens", "max_output_tokens", "default_max_tokens", "max_stop_sequences"})
_FLAGS = frozenset(item.name for item in fields(ModelProfile) if item.name.startswith(("supports_", "can_")))
_PRICES = frozenset(item.name for item in fields(Prices)) - {"version"}


class CatalogueError(ValueError):
    """A catalogue that cannot be used; the text says where and why."""


def profile_of_row(where: str, row: Row, today: str) -> ModelProfile:
    """`where`: "provider/model", for messages. `today`: ISO date; it decides which announced prices hold.

    Raises CatalogueError for a key that is none and a value of the wrong kind.
    """
    known = {name: _value(where, name, value) for name, value in row.items() if name not in NOTES and value is not None}
    # A null takes back what the row started from.
    return ModelProfile(**known, prices=_prices(where, row, today), known=True)


def prices_of_row(where: str, prices: Row | None, version: str) -> Prices:
    """Raises CatalogueError for a price that is not a whole number of micro-dollars."""
    if prices is None:
        return Prices()
    if not isinstance(prices, Mapping):
        raise CatalogueError(f"{where}: 'prices' must be an object of whole micro-dollars, not {prices!r}")
    for name, value in prices.items():
        if name not in _PRICES:
            raise CatalogueError(f"{where}: there is no price {name!r}; the prices are {', '.join(sorted(_PRICES))}")
        if not _is_count(value):
            raise CatalogueError(f"{where}: price {name!r} is {value!r}; it must be a whole number of micro-dollars")
    return Prices(**prices, version=version)


def _prices(where: str, row: Row, today: str) -> Prices:
    prices, since = row.get("prices"), str(row.get("as_of", ""))
    for change in row.get("price_changes") or ():
        if change["from"] <= today:
            prices, since = change["prices"], change["from"]
    return prices_of_row(where, prices, since)


def _value(where: str, name: str, value: Any) -> Any:
    if name in _SETS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise CatalogueError(f"{where}: {name!r} must be a list of names, not {value!r}")
        if name == "modalities" and not MODALITIES.issuperset(value):
            raise CatalogueError(f"{where}: 'modalities' are of {', '.join(sorted(MODALITIES))}, not {value!r}")
        return frozenset(value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise CatalogueError(f"{where}: {name!r} must be one of {', '.join(sorted(_CHOICES[name]))}, not {value!r}")
    elif name in _COUNTS:
        if not _is_count(value):
            raise CatalogueError(f"{where}: {name!r} must be a whole number, not {value!r}")
    elif name not in _FLAGS:
        raise CatalogueError(f"{where}: there is no field {name!r}")
    elif not isinstance(value, bool):
        raise CatalogueError(f"{where}: {name!r} must be true or false, not {value!r}")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
