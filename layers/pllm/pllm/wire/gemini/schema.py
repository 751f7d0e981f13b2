"""JSON Schema in Gemini's words (translation case 20).

Gemini knows two forms. `parameters` and `responseSchema` take an OpenAPI-like `Schema`: no references, one type each with
`nullable`, string enums, anyOf that stands alone. `parametersJsonSchema` and `responseJsonSchema` take a documented part
of JSON Schema, references and maps included. The first is understood by every model, so it is used whenever nothing is
lost by it; the second when it keeps what the first would lose; else the first again, with the losses reported.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.schema_dialect import (
    ANNOTATIONS,
    Adapted,
    Schema,
    checked,
    child,
    distribute_any_of,
    inline_refs,
    map_subschemas,
    merge_all_of,
    one_of_as_any_of,
)

_TYPES = {
    "string": "STRING",
    "number": "NUMBER",
    "integer": "INTEGER",
    "boolean": "BOOLEAN",
    "array": "ARRAY",
    "object": "OBJECT",
    "null": "NULL",
}
_BY_TYPE = {
    "STRING": frozenset({"enum", "format", "minLength", "maxLength", "pattern"}),
    "NUMBER": frozenset({"minimum", "maximum", "format"}),
    "INTEGER": frozenset({"minimum", "maximum", "format"}),
    "ARRAY": frozenset({"items", "minItems", "maxItems"}),
    "OBJECT": frozenset({"properties", "required", "minProperties", "maxProperties"}),
    "BOOLEAN": frozenset[str](),
    "NULL": frozenset[str](),
}
_IMPLIED_BY = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "minItems": "array",
    "maxItems": "array",
    "pattern": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
}
_TYPE_OF = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}
_KEPT_ANNOTATIONS = frozenset({"title", "description", "default", "example"})
_FORMATS = {
    "STRING": frozenset({"enum", "date-time"}),
    "NUMBER": frozenset({"float", "double"}),
    "INTEGER": frozenset({"int32", "int64"}),
}
# Of the documentation of responseJsonSchema: every other keyword is ignored there.
_JSON_SCHEMA_KEYWORDS = frozenset(
    {
        *(
            "$id",
            "$defs",
            "$ref",
            "$anchor",
            "$schema",
            "type",
            "format",
            "title",
            "description",
            "enum",
            "items",
            "prefixItems",
        ),
        *("minItems", "maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required"),
        *("default", "definitions", "examples", "nullable"),
    }
)

_DEFINITIONS = ("$defs", "definitions")


class Carried(NamedTuple):
    """A schema for one of Gemini's two fields: `json_schema` says which. Notes as in `schema_dialect`."""

    schema: JsonObject
    json_schema: bool
    notes: tuple[str, ...]


def carry(schema: Mapping[str, Any], path: str) -> Carried:
    """`schema` in the form that keeps most of its meaning. Raises GatewayError(400) when neither form can hold it."""
    try:
        adapted = for_gemini(schema, path)
    except GatewayError as error:
        documented = _constants_as_enums(dict(schema), path)
        if error.code != "recursive_schema" or not _is_documented(documented, path):
            raise
        return Carried(documented, True, ())
    if adapted.notes:
        documented = _constants_as_enums(dict(schema), path)
        if _is_documented(documented, path):
            return Carried(documented, True, ())
    return Carried(adapted.schema, False, adapted.notes)


def _constants_as_enums(schema: JsonObject, path: str) -> JsonObject:
    """`const` is not documented for Gemini's JSON Schema form; an enum of one value is."""

    def rewrite(sub: Schema, at: str) -> Schema:
        if isinstance(sub, bool):
            return sub
        renamed: JsonObject = {
            ("enum" if key == "const" else key): ([value] if key == "const" else value) for key, value in sub.items()
        }
        for definitions in _DEFINITIONS:
            if renamed.get(definitions) is not None:
                renamed[definitions] = {name: rewrite(inner, place) for name, inner, place in _defined(sub, definitions, at)}
        return map_subschemas(renamed, at, rewrite)

    rewritten = rewrite(schema, path)
    return rewritten if isinstance(rewritten, dict) else schema


def _defined(schema: JsonObject, definitions: str, at: str) -> list[tuple[str, Schema, str]]:
    """(name, schema, path) of each; raises a 400 for definitions that are none."""
    named = schema.get(definitions)
    if named is None:
        return []
    if not isinstance(named, dict):
        raise invalid(f"{child(at, definitions)} must be an object of schemas.", at)
    places = {name: child(at, definitions, name) for name in named}
    return [(name, checked(inner, places[name]), places[name]) for name, inner in named.items()]


def _is_documented(schema: JsonObject, path: str) -> bool:
    """Whether Gemini's JSON Schema form honours every keyword of `schema`, subschemas included."""
    known = True

    def look(sub: Schema, at: str) -> Schema:
        nonlocal known
        if isinstance(sub, bool):
            known = known and (sub or at.endswith(".additionalProperties"))
            return sub
        known = known and _JSON_SCHEMA_KEYWORDS.issuperset(sub)
        for definitions in _DEFINITIONS:
            for _, inner, place in _defined(sub, definitions, at):
                look(inner, place)
        return map_subschemas(sub, at, look)

    look(schema, path)
    return known


def for_gemini(schema: Mapping[str, Any], path: str = "schema") -> Adapted:
    """`schema` as Gemini's OpenAPI-like Schema. Raises GatewayError(400) for recursion and what has no form there."""
    lowering = _Lowering()
    lowered = lowering.lower(merge_all_of(inline_refs(schema, path), path), path)
    return Adapted(lowered, tuple(lowering.notes))


class _Lowering:
    """One walk; collects notes. Subschemas are lowered after the schema they stand in."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def lower(self, schema: Schema, path: str) -> JsonObject:
        if schema is False:
            raise invalid(f"{path} admits nothing: Gemini has no such schema.", path)
        if schema is True or not set(schema) - ANNOTATIONS:
            return self._anything({} if schema is True else schema, path)
        plain = one_of_as_any_of(schema, path, self.notes)
        if "anyOf" in plain:
            return self._any_of(distribute_any_of(plain, path), path)
        return self._typed(plain, path)

    def _anything(self, schema: JsonObject, path: str) -> JsonObject:
        """No schema of Gemini's admits every value; a string is what models fill most sensibly."""
        self.notes.append(f"{path}=string")
        return {"type": "STRING", **_annotations(schema)}

    # --- anyOf and several types: one branch each, null as nullable ---

    def _any_of(self, schema: JsonObject, path: str) -> JsonObject:
        branches = [branch for branch in schema["anyOf"] if not _is_null(branch)]
        nullable = len(branches) < len(schema["anyOf"])
        if not branches:
            return {"type": "NULL", **_annotations(schema)}
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(branches) == 1:
            only = branches[0]
            return _nullable(self.lower({**only, **beside} if isinstance(only, dict) else beside, path), nullable)
        lowered = [self.lower(branch, child(path, "anyOf", n)) for n, branch in enumerate(branches)]
        # Vertex refuses an anyOf with anything beside it, so what describes the whole goes into its branches.
        described = {key: value for key, value in _annotations(schema).items() if key in ("title", "description")}
        return {"anyOf": [_nullable({**described, **branch}, nullable) for branch in lowered]}

    def _typed(self, schema: JsonObject, path: str) -> JsonObject:
        schema = self._const_as_enum(schema, path)
        kinds, nullable = self._kinds(schema, path)
        if len(kinds) == 1:
            return _nullable(self._one_type(schema, kinds[0], path), nullable)
        branches = [{**schema, "type": kind} for kind in kinds]
        return self._any_of({"anyOf": [*branches, *([{"type": "null"}] if nullable else [])]}, path)

    def _kinds(self, schema: JsonObject, path: str) -> tuple[list[str], bool]:
        given = schema.get("type")
        if given is None:
            given = _implied_type(schema)
        if given is None:
            self.notes.append(f"{path}.type=string")
            given = "string"
        kinds = given if isinstance(given, list) else [given]
        for kind in kinds:
            if not isinstance(kind, str) or kind.lower() not in _TYPES:
                raise invalid(f"{path}.type is {kind!r}, which is not a JSON Schema type.", path)
        kinds = [kind.lower() for kind in kinds]
        nullable = schema.get("nullable") is True or "null" in kinds
        return [kind for kind in kinds if kind != "null"] or ["null"], nullable and kinds != ["null"]

    def _const_as_enum(self, schema: JsonObject, path: str) -> JsonObject:
        if "const" not in schema:
            return schema
        rest = {key: value for key, value in schema.items() if key != "const"}
        if schema["const"] is None:
            return {**rest, "type": "null"}
        return {**rest, "enum": [schema["const"]]}

    def _one_type(self, schema: JsonObject, kind: str, path: str) -> JsonObject:
        gemini_type = _TYPES[kind]
        lowered: JsonObject = {"type": gemini_type}
        for key, value in self._integer_bounds(schema, kind).items():
            if key in ("type", "nullable"):
                continue
            if key in _KEPT_ANNOTATIONS:
                lowered[key] = value
            elif key not in ANNOTATIONS and not key.startswith("x-"):
                self._keyword(lowered, gemini_type, key, value, child(path, key))
        self._only_declared_are_required(lowered, path)
        if gemini_type == "ARRAY" and "items" not in lowered:
            lowered["items"] = self._tuple_items(schema, path)
        if gemini_type == "OBJECT" and not lowered.get("properties") and schema.get("additionalProperties") is not False:
            self.notes.append(f"{path}.properties")
        return lowered

    def _only_declared_are_required(self, lowered: JsonObject, path: str) -> None:
        """Gemini refuses a required property that is not declared."""
        if "required" in lowered:
            if not isinstance(lowered["required"], list) or not all(isinstance(name, str) for name in lowered["required"]):
                raise invalid(f"{child(path, 'required')} must be a list of names.", path)
            declared = [name for name in lowered["required"] if name in lowered.get("properties", {})]
            if len(declared) < len(lowered["required"]):
                self.notes.append(child(path, "required"))
            lowered["required"] = declared

    def _integer_bounds(self, schema: JsonObject, kind: str) -> JsonObject:
        """An integer's exclusive bounds are inclusive ones, one further in."""
        if kind != "integer":
            return schema
        bounded = dict(schema)
        for exclusive, inclusive, step, tighter in (
            ("exclusiveMinimum", "minimum", 1, max),
            ("exclusiveMaximum", "maximum", -1, min),
        ):
            bound = bounded.get(exclusive)
            if isinstance(bound, int) and not isinstance(bound, bool):
                del bounded[exclusive]
                bounded[inclusive] = tighter(bound + step, bounded.get(inclusive, bound + step))
        return bounded

    def _keyword(self, lowered: JsonObject, gemini_type: str, key: str, value: Json, path: str) -> None:
        if key in ("additionalProperties", "unevaluatedProperties") and isinstance(value, bool):
            return  # Gemini writes declared properties only, so neither value changes what comes back
        if key == "enum" and gemini_type == "STRING":
            self._enum(lowered, value, path)
        elif key not in _BY_TYPE[gemini_type]:
            if not _applies_elsewhere(key, gemini_type):
                self.notes.append(path)
        elif key == "properties":
            lowered[key] = {name: self.lower(sub, child(path, name)) for name, sub in value.items()}
        elif key == "items":
            lowered[key] = self.lower(value, path)
        elif key == "format" and value not in _FORMATS[gemini_type]:
            self.notes.append(path)
        else:
            lowered[key] = value

    def _enum(self, lowered: JsonObject, values: list[Json], path: str) -> None:
        texts = [value for value in values if isinstance(value, str)]
        if None in values:
            lowered["nullable"] = True
        if len(texts) + (None in values) < len(values):
            self.notes.append(path)
        if texts:
            lowered["enum"] = texts
            lowered["format"] = "enum"

    def _tuple_items(self, schema: JsonObject, path: str) -> JsonObject:
        """An array needs one schema for its items; a tuple's becomes any of its members'."""
        members = schema.get("prefixItems")
        if isinstance(members, list) and members:
            return self.lower({"anyOf": members} if len(members) > 1 else members[0], child(path, "items"))
        return self.lower(True, child(path, "items"))


def _annotations(schema: JsonObject) -> JsonObject:
    return {key: value for key, value in schema.items() if key in _KEPT_ANNOTATIONS}


def _nullable(schema: JsonObject, nullable: bool) -> JsonObject:
    if not nullable:
        return schema
    if "anyOf" in schema:
        return {"anyOf": [_nullable(branch, True) for branch in schema["anyOf"]]}
    return {**schema, "nullable": True}


def _is_null(schema: Schema) -> bool:
    return isinstance(schema, dict) and (schema.get("type") == "null" or ("const" in schema and schema["const"] is None))


def _implied_type(schema: JsonObject) -> Json:
    for key, kind in _IMPLIED_BY.items():
        if key in schema:
            return kind
    values = schema.get("enum")
    kinds = {_TYPE_OF.get(type(value)) for value in values} if isinstance(values, list) else set()
    return next(iter(kinds)) if len(kinds) == 1 else sorted(filter(None, kinds)) or None


def _applies_elsewhere(key: str, gemini_type: str) -> bool:
    """JSON Schema ignores a keyword of another type (a string's pattern on an integer), so leaving it out loses nothing."""
    return key != "enum" and any(key in keys for kind, keys in _BY_TYPE.items() if kind != gemini_type)
