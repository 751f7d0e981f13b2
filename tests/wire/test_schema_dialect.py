"""Schema dialects: what is inlined, closed and left out, and that nothing of it goes unsaid (translation case 20)."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.errors import GatewayError
from pllm.wire.schema_dialect import (
    close_objects,
    distribute_any_of,
    for_bedrock,
    inline_refs,
    merge_all_of,
    mutually_exclusive,
    tool_parameters,
)

Schema = dict[str, Any]

TREE: Schema = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Node"}},
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
}


def refused(schema: Schema) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        inline_refs(schema, "tools[0].parameters")
    assert caught.value.status == 400
    return caught.value


class TestInlining:
    def test_case_20_a_reference_becomes_what_it_points_at(self) -> None:
        schema = {
            "type": "object",
            "properties": {"home": {"$ref": "#/$defs/Place"}, "work": {"$ref": "#/definitions/a~1b"}},
            "$defs": {"Place": {"type": "string"}},
            "definitions": {"a/b": {"type": "integer"}},
        }
        assert inline_refs(schema) == {
            "type": "object",
            "properties": {"home": {"type": "string"}, "work": {"type": "integer"}},
        }

    def test_case_20_a_description_beside_a_reference_wins_and_the_rest_of_the_target_stays(self) -> None:
        schema = {
            "properties": {"unit": {"$ref": "#/$defs/Unit", "description": "the wanted unit"}},
            "$defs": {"Unit": {"type": "string", "enum": ["C", "F"], "description": "a unit"}},
        }
        assert inline_refs(schema)["properties"]["unit"] == {
            "description": "the wanted unit",
            "type": "string",
            "enum": ["C", "F"],
        }

    def test_case_20_constraints_on_both_sides_of_a_reference_hold_together(self) -> None:
        schema = {"$ref": "#/$defs/N", "minimum": 5, "$defs": {"N": {"type": "integer", "minimum": 1, "maximum": 9}}}
        assert inline_refs(schema) == {"minimum": 5, "type": "integer", "maximum": 9}

    def test_case_20_a_recursive_schema_is_refused_naming_where_it_turns_back(self) -> None:
        error = refused(TREE)
        assert error.code == "recursive_schema"
        assert "tools[0].parameters.properties.root.properties.next" in error.message
        assert "#/$defs/Node" in error.message

    def test_a_reference_to_the_whole_document_is_recursive(self) -> None:
        assert refused({"properties": {"self": {"$ref": "#"}}}).code == "recursive_schema"

    def test_the_same_definition_used_twice_side_by_side_is_no_recursion(self) -> None:
        schema = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "null"}}}
        assert inline_refs(schema) == {"anyOf": [{"type": "null"}, {"type": "null"}]}

    @pytest.mark.parametrize("ref", ["https://example.com/a.json", "other.json#/x", "#/$defs/Nowhere", "#/anyOf/7"])
    def test_a_reference_that_leaves_or_dangles_is_refused_by_its_text(self, ref: str) -> None:
        assert ref in refused({"anyOf": [{"type": "string"}], "items": {"$ref": ref}}).message

    def test_a_reference_that_is_no_string_is_refused(self) -> None:
        assert "must be a string" in refused({"items": {"$ref": 3}}).message

    def test_definitions_that_double_at_every_step_are_refused_rather_than_expanded(self) -> None:
        definitions: Schema = {"d0": {"type": "string"}}
        for n in range(1, 25):
            pair = {"a": {"$ref": f"#/$defs/d{n - 1}"}, "b": {"$ref": f"#/$defs/d{n - 1}"}}
            definitions[f"d{n}"] = {"type": "object", "properties": pair}
        assert "grows past" in refused({"$ref": "#/$defs/d24", "$defs": definitions}).message

    def test_a_schema_nested_absurdly_is_refused_rather_than_overflowing(self) -> None:
        schema: Schema = {"type": "string"}
        for _ in range(200):
            schema = {"type": "array", "items": schema}
        assert "levels deep" in refused(schema).message

    def test_a_property_called_like_a_keyword_is_a_property(self) -> None:
        schema = {"properties": {"$ref": {"type": "string"}, "definitions": {"type": "string"}}}
        assert inline_refs(schema) == schema

    def test_values_in_enum_and_default_are_data_and_stay(self) -> None:
        schema = {"enum": [{"$ref": "#/x"}], "default": {"$ref": "#/y"}}
        assert inline_refs(schema) == schema

    def test_the_old_spelling_of_tuples_becomes_the_new_one(self) -> None:
        assert inline_refs({"items": [{"type": "string"}]}) == {"prefixItems": [{"type": "string"}]}

    @pytest.mark.parametrize("schema", [{"anyOf": {}}, {"properties": []}, {"items": 3}, {"properties": {"a": "string"}}])
    def test_what_is_no_schema_is_refused_naming_the_place(self, schema: Schema) -> None:
        assert "tools[0].parameters." in refused(schema).message

    def test_null_properties_are_none(self) -> None:
        assert inline_refs({"type": "object", "properties": None}) == {"type": "object", "properties": {}}


class TestToolParameters:
    @pytest.mark.parametrize(
        "given", [None, {}, {"properties": None}, {"type": "object", "properties": None, "required": None}]
    )
    def test_case_20_missing_or_null_parts_become_an_empty_object_schema(self, given: Schema | None) -> None:
        assert tool_parameters(given) == {"type": "object", "properties": {}}

    def test_a_composed_schema_is_left_as_it_is(self) -> None:
        assert tool_parameters({"$ref": "#/$defs/A", "$defs": {}}) == {"$ref": "#/$defs/A", "$defs": {}}


class TestMerging:
    def test_all_of_becomes_one_schema(self) -> None:
        schema: Schema = {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"minimum": 1, "type": "number"}}, "required": ["b", "a"]},
                {"properties": {"b": {"minimum": 3, "type": ["integer", "null"]}}},
                True,
            ],
            "description": "both",
        }
        assert merge_all_of(schema, "s") == {
            "description": "both",
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"minimum": 3, "type": "integer"}},
            "required": ["a", "b"],
        }

    def test_what_cannot_hold_together_is_refused_by_name(self) -> None:
        with pytest.raises(GatewayError, match=r"s\.type is given twice"):
            merge_all_of({"type": "string", "allOf": [{"type": "integer"}]}, "s")
        with pytest.raises(GatewayError, match=r"s\.pattern is given twice"):
            merge_all_of({"pattern": "a", "allOf": [{"pattern": "b"}]}, "s")
        with pytest.raises(GatewayError, match=r"s\.properties\.x\.enum"):
            merge_all_of({"properties": {"x": {"enum": [1]}}, "allOf": [{"properties": {"x": {"enum": [2]}}}]}, "s")

    def test_what_stands_beside_any_of_moves_into_its_branches(self) -> None:
        schema = {"description": "d", "type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, True]}
        assert distribute_any_of(schema, "s") == {
            "description": "d",
            "anyOf": [
                {"required": ["a"], "type": "object", "properties": {"a": {}}},
                {"type": "object", "properties": {"a": {}}},
            ],
        }


class TestClosing:
    def test_case_20_strict_closes_every_object_and_names_what_became_required(self) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"properties": {"c": {"type": "null"}}}}},
            "required": ["a"],
        }
        closed, notes = close_objects(schema, "p")
        assert closed["additionalProperties"] is False and closed["required"] == ["a", "b"]
        assert closed["properties"]["b"]["items"] == {
            "properties": {"c": {"type": "null"}},
            "additionalProperties": False,
            "required": ["c"],
        }
        assert notes == ("p.properties.b.items.properties.c=required", "p.properties.b=required")

    def test_an_object_of_free_keys_is_closed_and_noted(self) -> None:
        closed, notes = close_objects({"type": "object", "additionalProperties": {"type": "string"}}, "p")
        assert closed["additionalProperties"] is False
        assert notes == ("p.additionalProperties=false",)

    def test_optional_properties_stay_optional_where_the_provider_allows_it(self) -> None:
        closed, notes = close_objects({"type": "object", "properties": {"a": {}}}, "p", require_all=False)
        assert closed == {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
        assert notes == ()

    def test_the_parts_of_all_of_are_closed_as_one_so_that_something_satisfies_them(self) -> None:
        parts = {"allOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]}
        closed, _ = close_objects(parts, "p")
        assert closed == {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "additionalProperties": False,
            "required": ["a", "b"],
        }

    def test_properties_beside_any_of_are_closed_with_each_branch(self) -> None:
        schema = {"type": "object", "properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}}]}
        closed, _ = close_objects(schema, "p", require_all=False)
        assert [sorted(branch["properties"]) for branch in closed["anyOf"]] == [["a", "b"], ["a", "c"]]
        assert all(branch["additionalProperties"] is False for branch in closed["anyOf"])

    def test_what_is_denied_is_not_closed(self) -> None:
        denied = {"type": "object", "properties": {"a": {}}}
        assert close_objects({"type": "string", "not": denied}, "p").schema["not"] == denied


class TestBedrock:
    def test_case_20_constraints_bedrock_refuses_are_left_out_and_named(self) -> None:
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "description": "how many"},
                "s": {"type": "string", "format": "uuid", "pattern": "^a"},
                "f": {"type": "string", "format": "color"},
                "l": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            },
            "required": ["n"],
        }
        adapted, notes = for_bedrock(schema, "p")
        assert adapted["properties"] == {
            "n": {"type": "integer", "description": "how many"},
            "s": {"type": "string", "format": "uuid"},
            "f": {"type": "string"},
            "l": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        }
        assert adapted["additionalProperties"] is False and adapted["required"] == ["n"]
        assert set(notes) == {
            "p.properties.n.minimum",
            "p.properties.s.pattern",
            "p.properties.f.format",
            "p.properties.l.maxItems",
        }

    def test_case_20_a_map_cannot_be_kept_and_is_noted(self) -> None:
        schema = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}}
        assert for_bedrock(schema, "p").notes == ("p.properties.m.additionalProperties=false",)

    def test_one_of_is_any_of_and_noted_only_where_the_branches_overlap(self) -> None:
        apart = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
        assert for_bedrock(apart, "p") == ({"anyOf": apart["oneOf"]}, ())
        overlapping = {"oneOf": [{"type": "number"}, {"type": "integer"}]}
        assert for_bedrock(overlapping, "p").notes == ("p.oneOf=anyOf",)

    def test_a_place_without_a_type_is_refused(self) -> None:
        with pytest.raises(GatewayError, match=r"p\.properties\.any is true"):
            for_bedrock({"type": "object", "properties": {"any": True}}, "p")


def test_a_discriminated_union_is_mutually_exclusive() -> None:
    def variant(tag: str, *, required: bool = True) -> Schema:
        return {"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"] if required else []}

    assert mutually_exclusive([variant("a"), variant("b")])
    assert not mutually_exclusive([variant("a"), variant("a")])
    assert not mutually_exclusive([variant("a"), variant("b", required=False)])
    assert not mutually_exclusive([{"type": "string"}, True])
    assert not mutually_exclusive([])


scalars = st.sampled_from(["string", "integer", "number", "boolean", "null"])
leaves = st.builds(lambda kind, text: {"type": kind, "description": text}, scalars, st.text(max_size=5))
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(
            lambda props: {"type": "object", "properties": props}, st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(schemas)
def test_case_20_adapting_is_stable_keeps_key_order_and_leaves_its_argument_alone(schema: Schema) -> None:
    before = copy.deepcopy(schema)
    assert json.dumps(inline_refs(schema)) == json.dumps(schema)
    for adapt in (close_objects, for_bedrock):
        once = adapt(schema).schema
        assert json.dumps(adapt(once).schema) == json.dumps(once)
        assert json.dumps(adapt(copy.deepcopy(schema)).schema) == json.dumps(once)
    assert schema == before
