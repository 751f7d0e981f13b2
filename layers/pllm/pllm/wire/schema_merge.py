"""The conjunction of two JSON Schemas as one schema: what providers without `allOf` need.

A value satisfies the result if it satisfies both. Where two keywords have no common form a GatewayError(400) names them.
One liberty is taken, because it is what every generator of such schemas means: a closed object (additionalProperties false)
that is extended by more properties has those too.
"""

from collections.abc import Callable
from typing import Any

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import Json, JsonObject

_LARGER_WINS = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"})
_SMALLER_WINS = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"})
_SAID_ONCE = frozenset(
    {"title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "discriminator"}
)


def conjoin(first: JsonObject, second: JsonObject, path: str) -> JsonObject:
    """Both schemas as one, `first`'s keys first; of titles and descriptions `first`'s win. References must be inlined."""
    merged = dict(first)
    for key, value in second.items():
        if key not in merged:
            merged[key] = value
        elif key not in _SAID_ONCE and merged[key] != value:
            merged[key] = _both(key, merged[key], value, f"{path}.{key}")
    return merged


def _both(key: str, first: Json, second: Json, path: str) -> Json:
    if key in _LARGER_WINS:
        return max(first, second)
    if key in _SMALLER_WINS:
        return min(first, second)
    if key == "uniqueItems":
        return first or second
    if key in _STRUCTURES:
        return _STRUCTURES[key](first, second, path)
    raise _clash(path)


def _clash(path: str) -> GatewayError:
    return invalid(f"{path} is given twice (by allOf or beside a $ref or anyOf) and the two cannot be merged into one.", path)


def _types(first: Json, second: Json, path: str) -> Json:
    one, other = (kind if isinstance(kind, list) else [kind] for kind in (first, second))
    common = [kind for kind in one if kind in other or (kind == "integer" and "number" in other)]
    common += [kind for kind in other if kind == "integer" and kind not in common and "number" in one]
    if not common:
        raise _clash(path)
    return common[0] if len(common) == 1 else common


def _common_values(first: Json, second: Json, path: str) -> list[Any]:
    common = [value for value in first if value in second]
    if not common:
        raise _clash(path)
    return common


def _union(first: Json, second: Json, path: str) -> list[Any]:
    return [*(first or []), *(name for name in second or [] if name not in (first or []))]


def _properties(first: Json, second: Json, path: str) -> JsonObject:
    merged = dict(first or {})
    for name, schema in (second or {}).items():
        merged[name] = _schemas(merged[name], schema, f"{path}.{name}") if name in merged else schema
    return merged


def _schemas(first: Json, second: Json, path: str) -> Json:
    if first is False or second is False:
        return False
    if first is True or second is True:
        return second if first is True else first
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise _clash(path)
    return conjoin(first, second, path)


_STRUCTURES: dict[str, Callable[[Json, Json, str], Json]] = {
    "type": _types,
    "enum": _common_values,
    "required": _union,
    "allOf": lambda first, second, path: [*first, *second],
    "properties": _properties,
    "patternProperties": _properties,
    "items": _schemas,
    "additionalProperties": _schemas,
    "propertyNames": _schemas,
}
