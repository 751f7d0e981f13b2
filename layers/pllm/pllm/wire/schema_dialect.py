"""JSON Schema as the providers' subsets want it: what several wires share (translation case 20).

Every function is pure, leaves its argument alone and keeps the order of keys (prompt caches depend on it). Those that adapt a
schema return `Adapted`: the schema and notes. A note is the dotted path of a keyword whose meaning was lost or changed
("parameters.properties.age.minimum"), or `path=change` ("parameters.oneOf=anyOf"), for the caller to report.
What cannot be expressed at all raises a GatewayError(400) that names the path.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.schema_merge import conjoin

Schema = JsonObject | bool

MAX_DEPTH = 64
MAX_NODES = 20_000
"""An inlined schema larger than this is refused: definitions that each use the one before twice double at every step."""

SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMA_MAPS = ("properties", "patternProperties", "dependentSchemas")
SINGLE_SCHEMAS = (
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
)
ANNOTATIONS = frozenset(
    [
        "$schema",
        "$id",
        "$comment",
        "$anchor",
        "$vocabulary",
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "discriminator",
    ]
)
"""Keywords that describe and do not constrain: leaving one out changes no meaning."""

_DEFINITIONS = ("$defs", "definitions")


class Adapted(NamedTuple):
    schema: JsonObject
    notes: tuple[str, ...] = ()


def child(path: str, *steps: str | int) -> str:
    """`path` extended by keys and positions: child("a", "anyOf", 0) is "a.anyOf[0]"."""
    return path + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def map_subschemas(schema: JsonObject, path: str, change: Callable[[Schema, str], Schema]) -> JsonObject:
    """A copy of `schema` with `change(subschema, path)` in place of each direct subschema."""
    changed: JsonObject = {}
    for key, value in schema.items():
        at = child(path, key)
        if key in SCHEMA_LISTS and isinstance(value, list):
            changed[key] = [change(checked(item, child(at, n)), child(at, n)) for n, item in enumerate(value)]
        elif key in SCHEMA_MAPS and isinstance(value, dict):
            changed[key] = {name: change(checked(item, child(at, name)), child(at, name)) for name, item in value.items()}
        elif key == "items" and isinstance(value, list):  # before 2020-12 this was how prefixItems was spelt
            changed["prefixItems"] = [change(checked(item, child(at, n)), child(at, n)) for n, item in enumerate(value)]
        elif key in SINGLE_SCHEMAS:
            changed[key] = change(checked(value, at), at)
        elif key in SCHEMA_LISTS:
            raise invalid(f"{at} must be a list of schemas.", at)
        elif key in SCHEMA_MAPS and value is None:
            changed[key] = {}
        elif key in SCHEMA_MAPS:
            raise invalid(f"{at} must be an object of schemas.", at)
        else:
            changed[key] = value
    return changed


def checked(value: object, path: str) -> Schema:
    if isinstance(value, bool | dict):
        return value
    raise invalid(f"{path} must be a JSON Schema (an object or a boolean), not {type(value).__name__}.", path)


# --- References -----------------------------------------------------------------------------------------------------


def inline_refs(schema: Mapping[str, Any], path: str = "schema") -> JsonObject:
    """`schema` with every local `$ref` replaced by what it points at, and without its definitions.

    Keywords beside a `$ref` hold as well as the target's; of two descriptions the one beside it wins. Raises a 400 for a
    reference that is recursive (code "recursive_schema"), leaves the document or points nowhere, and for a result that is
    too deep or too large.
    """
    resolved = _Inliner(dict(schema), path).resolve(dict(schema), path, (), 0)
    if isinstance(resolved, bool):
        raise invalid(f"{path} must be an object schema.", path)
    return resolved


class _Inliner:
    """One walk over one document; counts what it produces."""

    def __init__(self, document: JsonObject, root: str) -> None:
        self._document = document
        self._root = root
        self._nodes = 0

    def resolve(self, schema: Schema, path: str, active: tuple[str, ...], depth: int) -> Schema:
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise invalid(f"{path} is nested more than {MAX_DEPTH} levels deep.", self._root)
        if self._nodes > MAX_NODES:
            raise invalid(f"{self._root} grows past {MAX_NODES} subschemas when its references are inlined.", self._root)
        if isinstance(schema, bool):
            return schema
        if "$ref" in schema:
            return self._follow(schema, path, active, depth)
        kept = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
        return map_subschemas(kept, path, lambda sub, at: self.resolve(sub, at, active, depth + 1))

    def _follow(self, schema: JsonObject, path: str, active: tuple[str, ...], depth: int) -> Schema:
        ref = schema["$ref"]
        if not isinstance(ref, str):
            raise invalid(f"{path}.$ref must be a string.", self._root)
        if ref in active:
            loop = " -> ".join((*active[active.index(ref) :], ref))
            raise invalid(f"{path} is recursive ({loop}); this model's schemas cannot be.", self._root, "recursive_schema")
        target = self.resolve(checked(self._lookup(ref, path), path), path, (*active, ref), depth + 1)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        rest = self.resolve(beside, path, active, depth + 1) if beside else True
        if isinstance(target, bool) or isinstance(rest, bool):
            return target if rest is True else rest if target is True else False
        return conjoin(rest, target, path)

    def _lookup(self, ref: str, path: str) -> object:
        if not ref.startswith("#"):
            raise invalid(f"{path}.$ref is {ref!r}; only references inside the schema (#/...) are possible.", self._root)
        node: Any = self._document
        for step in ref[1:].lstrip("/").split("/") if ref not in ("#", "#/") else ():
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            elif isinstance(node, dict) and name in node:
                node = node[name]
            else:
                raise invalid(f"{path}.$ref points at {ref!r}, which does not exist.", self._root)
        return node


# --- Objects --------------------------------------------------------------------------------------------------------


def tool_parameters(schema: Mapping[str, Any] | None) -> JsonObject:
    """A tool's parameters as an object schema that every provider takes: none given, a missing `type` and null
    or missing `properties` are filled in."""
    given = dict(schema or {})
    if given.get("properties") is None:
        given.pop("properties", None)
    if given.get("required") is None:
        given.pop("required", None)
    composed = any(key in given for key in ("$ref", "anyOf", "oneOf", "allOf"))
    if given.get("type") is None and not composed:
        given = {"type": "object", **{key: value for key, value in given.items() if key != "type"}}
    if not composed:
        given.setdefault("properties", {})
    return given


def is_object(schema: JsonObject) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)


def merge_all_of(schema: Schema, path: str) -> Schema:
    """`schema` with each `allOf` merged into the schema it stands in. References must be inlined."""
    if isinstance(schema, bool):
        return schema
    merged = map_subschemas(schema, path, merge_all_of)
    for branch in merged.pop("allOf", []):
        if isinstance(branch, dict):
            merged = conjoin(merged, branch, path)
        elif not branch:
            return False
    return merged


def distribute_any_of(schema: JsonObject, path: str) -> JsonObject:
    """`schema` with what stands beside its `anyOf` moved into each branch, so that only annotations stay beside it."""
    if "anyOf" not in schema or set(schema) <= ANNOTATIONS | {"anyOf"}:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf" and key not in ANNOTATIONS}
    branches = [
        conjoin(branch, rest, child(path, "anyOf", n)) if isinstance(branch, dict) else rest if branch else False
        for n, branch in enumerate(schema["anyOf"])
    ]
    return {key: branches if key == "anyOf" else value for key, value in schema.items() if key not in rest}


def close_objects(schema: Mapping[str, Any], path: str = "schema", *, require_all: bool = True) -> Adapted:
    """`schema` as `strict` modes want it: references inlined, `allOf` merged, additionalProperties false on each object and,
    with `require_all`, every property required. Whatever the result admits, the original admits too. Notes name the
    properties that were optional and the objects that had free keys."""
    notes: list[str] = []

    def close(sub: Schema, at: str) -> Schema:
        if isinstance(sub, bool):
            return sub
        alone = distribute_any_of(sub, at) if is_object(sub) else sub
        closed = map_subschemas(alone, at, lambda inner, where: inner if _negative(where, at) else close(inner, where))
        if not is_object(closed):
            return closed
        if isinstance(closed.get("additionalProperties"), dict) or not (closed.get("properties") or _is_closed(closed)):
            notes.append(f"{at}.additionalProperties=false")
        closed["additionalProperties"] = False
        return _require_all(closed, at, notes) if require_all else closed

    closed = close(merge_all_of(inline_refs(schema, path), path), path)
    if isinstance(closed, bool):
        raise invalid(f"{path} must be an object schema.", path)
    return Adapted(closed, tuple(notes))


def _negative(path: str, parent: str) -> bool:
    """Whether a subschema is one that is not simply asserted: closing it would change what it means, or is pointless."""
    return path.removeprefix(f"{parent}.") in ("not", "if", "contains", "propertyNames", "additionalProperties")


def _is_closed(schema: JsonObject) -> bool:
    return schema.get("additionalProperties") is False


def _require_all(schema: JsonObject, path: str, notes: list[str]) -> JsonObject:
    names = list(schema.get("properties") or {})
    required = list(schema.get("required") or [])
    notes += [f"{path}.properties.{name}=required" for name in names if name not in required]
    return {**schema, "required": [*required, *(name for name in names if name not in required)]}


# --- Bedrock --------------------------------------------------------------------------------------------------------

_BEDROCK_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"])
_BEDROCK_KEYWORDS = frozenset(
    ["type", "enum", "const", "anyOf", "allOf", "properties", "required", "items", "additionalProperties", "format", "minItems"]
)


def for_bedrock(schema: Mapping[str, Any], path: str = "schema") -> Adapted:
    """`schema` in the subset of draft 2020-12 that Bedrock compiles for structured output and strict tools.

    References are inlined and objects closed; string, number and array constraints, which it refuses, are left out and
    noted, so that the answer may break them. Not needed for tools that are not strict: those take any JSON Schema.
    """
    notes: list[str] = []

    def adapt(sub: Schema, at: str) -> Schema:
        if isinstance(sub, bool):
            raise invalid(f"{at} is {str(sub).lower()}: this model needs a schema that says a type there.", path)
        kept: JsonObject = {}
        for key, value in one_of_as_any_of(sub, at, notes).items():
            if key in ANNOTATIONS or (key in _BEDROCK_KEYWORDS and _bedrock_takes(key, value)):
                kept[key] = value
            elif not (key.startswith(("x-", "$")) or key == "unevaluatedProperties"):
                notes.append(f"{at}.{key}")
        return map_subschemas(
            kept, at, lambda inner, where: inner if where == f"{at}.additionalProperties" else adapt(inner, where)
        )

    adapted = adapt(inline_refs(schema, path), path)
    assert isinstance(adapted, dict)
    closed, closing = close_objects(adapted, path, require_all=False)
    return Adapted(closed, (*notes, *closing))


def _bedrock_takes(key: str, value: object) -> bool:
    if key == "format":
        return value in _BEDROCK_FORMATS
    if key == "minItems":
        return value in (0, 1)
    if key == "enum":
        return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)
    if key == "const":
        return not isinstance(value, dict | list)
    return True


def one_of_as_any_of(schema: JsonObject, path: str, notes: list[str]) -> JsonObject:
    """`oneOf` as `anyOf`, in its place; noted only where two branches may hold at once."""
    if "oneOf" not in schema or "anyOf" in schema:
        return schema
    if not mutually_exclusive(schema["oneOf"]):
        notes.append(f"{path}.oneOf=anyOf")
    return {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}


def mutually_exclusive(branches: object) -> bool:
    """Whether no value can satisfy two of `branches`, as far as types and a shared constant property (a discriminator)
    tell: then `oneOf` means the same as `anyOf`. References must be inlined."""
    if not isinstance(branches, list) or not branches or not all(isinstance(branch, dict) for branch in branches):
        return False
    types = [branch.get("type") for branch in branches]
    if (
        all(isinstance(kind, str) for kind in types)
        and len(set(types)) == len(types)
        and not {"integer", "number"} <= set(types)
    ):
        return True
    return any(_discriminates(name, branches) for name in _properties(branches[0]))


def _properties(schema: JsonObject) -> JsonObject:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _discriminates(name: str, branches: list[JsonObject]) -> bool:
    seen: list[object] = []
    for branch in branches:
        tag = _properties(branch).get(name)
        if not isinstance(tag, dict) or name not in (branch.get("required") or []):
            return False
        values = [tag["const"]] if "const" in tag else tag.get("enum")
        if not isinstance(values, list) or any(value in seen for value in values):
            return False
        seen += values
    return True
