"""A newer list laid over a catalogue, and what that changes."""

from collections.abc import Iterator
from typing import Any

from pllm.core.catalogue.book import ModelCatalogue

_ABSENT = object()


def differences(new: ModelCatalogue, old: ModelCatalogue) -> Iterator[str]:
    """One line for each field of a row, family or provider that is not the same, in the order of `new`; what only `old`
    has comes last, as "-" lines."""
    yield from _of_rows("family ", new.families, old.families)
    yield from _of_rows("provider ", new.providers, old.providers)
    for provider in (*new.models, *(name for name in old.models if name not in new.models)):
        yield from _of_rows(f"{provider}/", new.models.get(provider, {}), old.models.get(provider, {}))


def _of_rows(prefix: str, new: Any, old: Any) -> Iterator[str]:
    for name, row in new.items():
        if name not in old:
            yield f"+ {prefix}{name}"
        elif row != old[name]:
            yield from (f"~ {prefix}{name}: {line}" for line in _of_fields(row, old[name]))
    yield from (f"- {prefix}{name}" for name in old if name not in new)


def _of_fields(new: Any, old: Any, path: str = "") -> Iterator[str]:
    for key in (*new, *(key for key in old if key not in new)):
        now, before = new.get(key, _ABSENT), old.get(key, _ABSENT)
        if now == before:
            continue
        if isinstance(now, dict) and isinstance(before, dict):
            yield from _of_fields(now, before, f"{path}{key}.")
        else:
            yield f"{path}{key} {_shown(before)} -> {_shown(now)}"


def _shown(value: object) -> str:
    return "unset" if value is _ABSENT else repr(value)
