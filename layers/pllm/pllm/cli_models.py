"""`pllm models show | refresh`: the catalogue of models, looked at and brought up to date."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

from pllm.cli_arguments import file_name
from pllm.core import catalogue as packaged
from pllm.core.catalogue import CatalogueError, ModelCatalogue, layered, parse
from pllm.core.catalogue.book import from_document
from pllm.core.catalogue.check import problems
from pllm.core.catalogue.imports import foreign, taken_over
from pllm.core.catalogue.merge import differences
from pllm.core.catalogue.rows import Row, profile_of_row
from pllm.core.catalogue.text import catalogue_text
from pllm.core.config.model_name import split_model
from pllm.providers.registry import Registry

OK, REFUSED, UNREADABLE = 0, 1, 2
"""Exit codes: all well; the catalogue is refused, or has no such model; a file cannot be read or written, or a name is none."""

_NOTES = ("about", "sources")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` with its commands; each sets `run`, a function of the parsed arguments that returns the exit code."""
    models = subparsers.add_parser("models", help="show and refresh what is known of models: limits, capabilities, prices")
    commands = models.add_subparsers(dest="models_command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print what is known of a model")
    show.add_argument("model", metavar="PROVIDER/MODEL", help="as in a configuration: openai/gpt-4o, bedrock/us.anthropic....")
    show.add_argument(
        "--catalogue", metavar="FILE", type=file_name, help="a catalogue over the packaged one (default: PLLM_CATALOGUE)"
    )
    show.set_defaults(run=lambda a: show_model(a.model, a.catalogue or os.environ.get("PLLM_CATALOGUE")))
    fresh = commands.add_parser("refresh", help="lay a newer list of models over a catalogue and print what changes")
    fresh.add_argument(
        "file", metavar="FILE", type=file_name, help="JSON or YAML: this catalogue's shape, LiteLLM's, or OpenRouter's /models"
    )
    fresh.add_argument(
        "-o", "--output", metavar="OUT", type=file_name, help="catalogue to write (default: none, only print what would change)"
    )
    fresh.add_argument("--catalogue", metavar="BASE", type=file_name, help="catalogue to refresh (default: the packaged one)")
    fresh.add_argument("--all", action="store_true", help="take over models too that BASE does not have (LiteLLM, OpenRouter)")
    fresh.set_defaults(run=lambda a: refresh(a.file, a.output, a.catalogue, a.all))


def show_model(name: str, front: str | None = None, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Print the profile of `provider/model` to `out`, why there is none to `err`; return the exit code."""
    out, err = out or sys.stdout, err or sys.stderr
    prefix, model = split_model(name)
    provider = Registry().get(prefix) if prefix else None
    if provider is None:
        err.write(f"{name}: name a provider and a model, such as openai/gpt-4o; providers: {', '.join(Registry().names)}\n")
        return UNREADABLE
    try:
        found = _with_front(front).row(provider.name, model)
    except OSError as error:
        err.write(f"{error.filename}: error: {error.strerror}\n")
        return UNREADABLE
    except UnicodeDecodeError as error:
        err.write(f"{front}: error: {_no_text(error)}\n")
        return UNREADABLE
    except CatalogueError as error:
        err.write(f"error: {error}\n")
        return REFUSED
    if found is None:
        err.write(f"{name}: not in the catalogue: the provider is asked for everything, no price is known\n")
        return REFUSED
    out.writelines(f"{line}\n" for line in _described(f"{provider.name}/{model}", found))
    return OK


def refresh(
    path: str,
    output: str | None = None,
    base: str | None = None,
    take_all: bool = False,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Lay the list in `path` over the catalogue `base`, print every change to `out` and write the whole to `output`. Nothing
    is written when anything is wrong; what is wrong goes to `err`. Returns the exit code."""
    out, err = out or sys.stdout, err or sys.stderr
    try:
        text = Path(base).read_text(encoding="utf-8") if base else _packaged_text()
        old = parse(text, base or packaged.PACKAGED)
        update = _update(path, old, take_all)
    except OSError as error:
        err.write(f"{error.filename}: error: {error.strerror}\n")
        return UNREADABLE
    except ImportError as error:
        err.write(f"{path}: error: {error}\n")
        return UNREADABLE
    except UnicodeDecodeError as error:
        err.write(f"{path}: error: {_no_text(error)}\n")
        return UNREADABLE
    except CatalogueError as error:
        err.write(f"error: {error}\n")
        return REFUSED
    new = layered(update, old)
    if wrong := problems(new):
        err.writelines(f"error: {line}\n" for line in wrong)
        err.write(f"{path}: refused, nothing was written\n")
        return REFUSED
    changes = list(differences(new, old))
    out.writelines(f"{line}\n" for line in changes)
    rows = sum(len(names) for names in new.models.values())
    out.write(f"{len(changes)} changes, {rows} models\n")
    return _written(output, new, json.loads(text), err) if output else OK


def _written(output: str, new: ModelCatalogue, old_document: Mapping[str, Any], err: TextIO) -> int:
    notes = {name: old_document[name] for name in _NOTES if name in old_document}
    try:
        Path(output).write_text(catalogue_text(new, notes), encoding="utf-8", newline="\n")
    except OSError as error:
        err.write(f"{output}: error: {error.strerror}\n")
        return UNREADABLE
    return OK


def _update(path: str, old: ModelCatalogue, take_all: bool) -> ModelCatalogue:
    document = _document(path)
    other = foreign(document, datetime.now(UTC).date().isoformat())
    if other is None:
        return from_document(document, path)
    return taken_over(other, old, take_all)


def _no_text(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}"


def _document(path: str) -> object:
    text = Path(path).read_text(encoding="utf-8-sig")
    try:
        return json.loads(text)
    except RecursionError:
        raise CatalogueError(f"{path}: not JSON: nested too deep") from None
    except ValueError:
        if not path.endswith((".yaml", ".yml")):
            raise CatalogueError(f"{path}: not JSON (a YAML list must be named *.yaml)") from None
    import yaml  # the laptop only

    try:
        return _with_text_dates(yaml.safe_load(text))
    except RecursionError:
        raise CatalogueError(f"{path}: not YAML: nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:
        raise CatalogueError(f"{path}: not YAML: {error}") from None


def _with_text_dates(value: Any) -> Any:
    """YAML makes dates of what JSON has as text."""
    if isinstance(value, dict):
        return {str(key): _with_text_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_text_dates(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _packaged_text() -> str:
    return Path(packaged.__file__).with_name(packaged.PACKAGED).read_text(encoding="utf-8")


def _with_front(front: str | None) -> ModelCatalogue:
    catalogue = parse(_packaged_text(), packaged.PACKAGED)
    return layered(parse(Path(front).read_text(encoding="utf-8"), front), catalogue) if front else catalogue


def _described(name: str, row: Row) -> Iterator[str]:
    profile = profile_of_row(name, row, datetime.now(UTC).date().isoformat())
    yield name
    yield f"  source: {row.get('source')}, read on {row.get('as_of')}"
    for item in fields(profile):
        value = getattr(profile, item.name)
        if item.name not in ("prices", "known"):
            yield f"  {item.name}: {', '.join(sorted(value)) or 'none' if isinstance(value, frozenset) else _plain(value)}"
    prices = {item.name: getattr(profile.prices, item.name) for item in fields(profile.prices)}
    version = prices.pop("version")
    known = {price: value for price, value in prices.items() if value is not None}
    yield f"  prices ({version}), USD per million tokens unless they say otherwise:" if known else "  prices: not known"
    yield from (f"    {price}: {_money(price, value)}" for price, value in known.items())
    for change in row.get("price_changes") or ():
        listed = ", ".join(f"{price} {_money(price, value)}" for price, value in change["prices"].items())
        yield f"  from {change['from']}: {listed}"


def _money(price: str, value: int) -> str:
    return f"{value:,} tokens" if price == "long_context_over" else f"{value / 1_000_000:,.10g}"


def _plain(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
