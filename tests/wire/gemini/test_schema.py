"""JSON Schema in Gemini's two forms: lossless where possible, reported where not (translation case 20)."""

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.errors import GatewayError
from pllm.wire.gemini.schema import carry, for_gemini

Schema = dict[str, Any]


def lowered(schema: Schema) -> Schema:
    """The lossless OpenAPI form, which google-genai must accept."""
    adapted, notes = for_gemini(schema, "p")
    types.Schema.model_validate(adapted)
    assert notes == ()
    return adapted


def notes(schema: Schema) -> tuple[str, ...]:
    adapted, found = for_gemini(schema, "p")
    types.Schema.model_validate(adapted)
    return found


def test_case_20_a_type_array_with_null_is_nullable() -> None:
    assert lowered({"type": ["string", "null"], "description": "d"}) == {"type": "STRING", "description": "d", "nullable": True}


def test_case_20_any_of_with_null_is_nullable() -> None:
    optional = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None, "title": "N"}
    assert lowered(optional) == {"type": "INTEGER", "minimum": 1, "default": None, "title": "N", "nullable": True}


def test_case_20_any_of_stands_alone_and_what_was_beside_it_is_in_its_branches() -> None:
    union = {"description": "d", "type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {}]}
    branch = {"description": "d", "type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    assert lowered(union) == {"anyOf": [{**branch, "required": ["a"]}, branch]}


def test_case_20_several_types_are_branches_with_the_keywords_of_their_own() -> None:
    assert lowered({"type": ["string", "integer", "null"], "minLength": 2, "minimum": 3}) == {
        "anyOf": [
            {"type": "STRING", "minLength": 2, "nullable": True},
            {"type": "INTEGER", "minimum": 3, "nullable": True},
        ]
    }


def test_case_20_constants_and_enums_of_strings() -> None:
    assert lowered({"const": "x"}) == {"type": "STRING", "enum": ["x"], "format": "enum"}
    assert lowered({"enum": ["a", None]}) == {"type": "STRING", "nullable": True, "enum": ["a"], "format": "enum"}
    assert lowered({"const": None}) == {"type": "NULL"}


def test_case_20_closed_objects_lose_nothing_by_being_open() -> None:
    schema = {
        "type": "object",
        "properties": {"b": {"type": "string"}, "a": {"type": "boolean"}},
        "additionalProperties": False,
    }
    assert json.dumps(lowered(schema)) == json.dumps(
        {"type": "OBJECT", "properties": {"b": {"type": "STRING"}, "a": {"type": "BOOLEAN"}}}
    )


def test_case_20_references_and_all_of_are_resolved() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"type": "number"}}}],
        "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
    }
    assert lowered(schema) == {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING"}, "b": {"type": "NUMBER"}},
        "required": ["a"],
    }


def test_an_integers_exclusive_bounds_are_inclusive_ones_further_in() -> None:
    assert lowered({"type": "integer", "exclusiveMinimum": 0, "minimum": -3, "exclusiveMaximum": 9}) == {
        "type": "INTEGER",
        "minimum": 1,
        "maximum": 8,
    }


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        ({"type": "string", "format": "uri"}, "p.format"),
        ({"type": "integer", "enum": [1, 2]}, "p.enum"),
        ({"type": "integer", "multipleOf": 3}, "p.multipleOf"),
        ({"type": "number", "exclusiveMinimum": 0}, "p.exclusiveMinimum"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "p.additionalProperties"),
        ({"type": "object"}, "p.properties"),
        ({"type": "array"}, "p.items=string"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "p.uniqueItems"),
        ({"type": "string", "not": {"const": "a"}}, "p.not"),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, "p.properties.a=string"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}, "p.required"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "p.oneOf=anyOf"),
    ],
)
def test_case_20_what_the_form_cannot_say_is_noted_by_path(schema: Schema, note: str) -> None:
    assert note in notes(schema)


def test_one_of_with_a_discriminator_is_any_of_without_a_loss() -> None:
    def variant(tag: str) -> Schema:
        return {"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"]}

    assert len(lowered({"oneOf": [variant("cat"), variant("dog")]})["anyOf"]) == 2


@pytest.mark.parametrize("schema", [{"type": "text"}, {"type": "object", "properties": {"a": False}}, {"items": 3}])
def test_case_20_what_has_no_form_at_all_is_refused_by_path(schema: Schema) -> None:
    with pytest.raises(GatewayError, match=r"p[.\w]* (is|admits|must)") as caught:
        carry(schema, "p")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "definitions",
    [{"q": "integer"}, {"q": None}, {"q": [1]}, ["q"], "q", 7],
    ids=["text", "null", "list", "a list", "a text", "7"],
)
@pytest.mark.parametrize("name", ["$defs", "definitions"])
def test_definitions_that_are_none_are_refused_by_path(name: str, definitions: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "not": {}}}, name: definitions}
    with pytest.raises(GatewayError, match=r"p[.$\w]* must be") as caught:
        carry(schema, "p")
    assert caught.value.status == 400


@pytest.mark.parametrize("required", [[{}], [["a"]], [7], "a", 7])
def test_required_names_that_are_none_are_refused_by_path(required: Any) -> None:
    with pytest.raises(GatewayError, match=r"p\.required must be a list of names") as caught:
        for_gemini({"type": "object", "properties": {"a": {"type": "string"}}, "required": required}, "p")
    assert caught.value.status == 400


class TestChoosingTheForm:
    def test_case_20_the_common_form_is_used_where_nothing_is_lost(self) -> None:
        assert carry({"type": "string"}, "p") == ({"type": "STRING"}, False, ())

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "integer", "enum": [1, 2]},
            {"type": "string", "format": "uri"},
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
            {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"c": {"$ref": "#/$defs/N"}}}}},
        ],
    )
    def test_case_20_the_json_schema_form_is_used_where_it_keeps_more(self, schema: Schema) -> None:
        assert carry(schema, "p") == (schema, True, ())

    def test_a_constant_number_is_an_enum_of_one_there(self) -> None:
        schema = {"$defs": {"V": {"const": 1}}, "type": "object", "properties": {"v": {"$ref": "#/$defs/V"}, "w": {"const": 2}}}
        assert carry(schema, "p").schema == {
            "$defs": {"V": {"enum": [1]}},
            "type": "object",
            "properties": {"v": {"$ref": "#/$defs/V"}, "w": {"enum": [2]}},
        }

    def test_case_20_what_neither_form_holds_is_lost_and_said(self) -> None:
        carried = carry({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "p")
        assert carried == ({"type": "ARRAY", "items": {"type": "STRING"}}, False, ("p.uniqueItems",))

    def test_case_20_recursion_with_a_keyword_nobody_knows_is_refused(self) -> None:
        node: Schema = {"type": "object", "properties": {"c": {"$ref": "#/$defs/N"}}, "patternProperties": {"a": {}}}
        with pytest.raises(GatewayError) as caught:
            carry({"$ref": "#/$defs/N", "$defs": {"N": node}}, "tools.f")
        assert caught.value.code == "recursive_schema" and "tools.f.properties.c" in caught.value.message


_leaves = st.sampled_from(
    [
        {"type": "string", "description": "s"},
        {"type": ["integer", "null"], "minimum": 0},
        {"const": "c"},
        {"enum": ["a", "b"]},
        {"type": "boolean"},
        {"$ref": "#/$defs/Shared"},
    ]
)
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(
            lambda props: {"type": "object", "properties": props, "required": list(props), "additionalProperties": False},
            st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(_schemas)
def test_case_20_what_programs_generate_is_carried_without_loss_and_stably(schema: Schema) -> None:
    document = {"type": "object", "properties": {"x": schema}, "$defs": {"Shared": {"type": "number"}}}
    first, second = carry(document, "p"), carry(json.loads(json.dumps(document)), "p")
    assert not first.json_schema and first.notes == ()
    assert json.dumps(first.schema) == json.dumps(second.schema)
    assert "$ref" not in json.dumps(first.schema)
    types.Schema.model_validate(first.schema)
