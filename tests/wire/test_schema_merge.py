"""Two schemas as one: whatever satisfies the result satisfies both (translation case 20)."""

from typing import Any

import pytest

from pllm.core.errors import GatewayError
from pllm.wire.schema_merge import conjoin

Schema = dict[str, Any]

BETWEEN = {"minLength": 1, "maxLength": 2}


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ({"minimum": 1, "maximum": 9}, {"minimum": 3, "maximum": 5}, {"minimum": 3, "maximum": 5}),
        ({"uniqueItems": False}, {"uniqueItems": True}, {"uniqueItems": True}),
        ({"title": "A"}, {"title": "B", "type": "string"}, {"title": "A", "type": "string"}),
        ({"type": ["string", "null"]}, {"type": ["null", "integer"]}, {"type": "null"}),
        ({"type": "number"}, {"type": "integer"}, {"type": "integer"}),
        ({"type": ["number", "string"]}, {"type": ["integer", "string"]}, {"type": ["string", "integer"]}),
        ({"enum": [1, 2, 3]}, {"enum": [3, 1]}, {"enum": [1, 3]}),
        ({"required": ["a"]}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
        ({"items": True}, {"items": {"type": "string"}}, {"items": {"type": "string"}}),
        ({"items": {"type": "string"}}, {"items": True}, {"items": {"type": "string"}}),
        ({"items": {}}, {"items": False}, {"items": False}),
        (
            {"properties": {"a": {"minLength": 1}}},
            {"properties": {"a": {"minLength": 2}}},
            {"properties": {"a": {"minLength": 2}}},
        ),
        ({"allOf": [{"minimum": 1}]}, {"allOf": [{"maximum": 2}]}, {"allOf": [{"minimum": 1}, {"maximum": 2}]}),
    ],
)
def test_keywords_are_tightened_or_joined(first: Schema, second: Schema, both: Schema) -> None:
    assert conjoin(first, second, "s") == both


@pytest.mark.parametrize(
    ("first", "second", "where"),
    [
        ({"type": "string"}, {"type": "integer"}, "s.type"),
        ({"const": 1}, {"const": 2}, "s.const"),
        ({"enum": [1]}, {"enum": [2]}, "s.enum"),
        ({"anyOf": [{}]}, {"anyOf": [{"type": "null"}]}, "s.anyOf"),
        ({"items": 3}, {"items": {}}, "s.items"),
    ],
)
def test_what_has_no_common_form_is_refused_by_path(first: Schema, second: Schema, where: str) -> None:
    with pytest.raises(GatewayError, match="given twice") as caught:
        conjoin(first, second, "s")
    assert caught.value.param == where and caught.value.status == 400
