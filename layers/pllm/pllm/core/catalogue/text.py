"""A catalogue as the text of its file: one row a line, so that a change reads well."""

import json
from collections.abc import Mapping
from typing import Any

from pllm.core.catalogue.book import SCHEMA, ModelCatalogue


def catalogue_text(catalogue: ModelCatalogue, notes: Mapping[str, Any] | None = None) -> str:
    """`notes`: further keys of the file that only people read, such as `about` and `sources`."""
    head = {"schema": SCHEMA, "version": catalogue.version, **(notes or {})}
    parts = [f"{_json(name)}: {_json(value)}" for name, value in head.items()]
    parts.append(f'"families": {_block(catalogue.families)}')
    parts.append(f'"providers": {_block(catalogue.providers)}')
    models = (
        f" {_json(provider)}: {_block(dict(sorted(rows.items())), '  ', ' ')}" for provider, rows in catalogue.models.items()
    )
    parts.append('"models": {\n' + ",\n".join(models) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _block(rows: Mapping[str, Any], indent: str = " ", end: str = "") -> str:
    if not rows:
        return "{}"
    return "{\n" + ",\n".join(f"{indent}{_json(name)}: {_json(row)}" for name, row in rows.items()) + f"\n{end}}}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
