from typing import Any

import pytest

from pllm.core.config.plain import from_plain, map_texts, to_plain
from pllm.core.config.schema import Limit, Limits, ModelEntry, Params, Route, RouteModel, Router, Strategy

ENTRY = ModelEntry(model_name="a", params=Params(model="x", headers={"h": "v"}, tools=[{"type": "function"}]), tags=("t",))


@pytest.mark.parametrize(
    ("section", "plain"),
    [
        (
            ENTRY,
            {
                "model_name": "a",
                "params": {"model": "x", "headers": {"h": "v"}, "tools": [{"type": "function"}]},
                "tags": ["t"],
            },
        ),
        (Router(routing_strategy=Strategy.RANDOM), {"routing_strategy": "random"}),
        (Limits(keys={"k": Limit(rpm=1)}), {"keys": {"k": {"rpm": 1}}}),
        (Route(slug="r", models=(RouteModel(model_name="a"),)), {"slug": "r", "models": [{"model_name": "a"}]}),
        (Router(fallbacks={"a": ("b",)}), {"fallbacks": {"a": ["b"]}}),
    ],
)
def test_a_section_becomes_json_and_comes_back(section: Any, plain: dict[str, Any]) -> None:
    assert to_plain(section) == plain
    assert from_plain(type(section), plain) == section


def test_a_key_that_was_never_written_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        from_plain(Limit, {"rmp": 1})


def test_every_text_is_changed_and_names_of_mappings_stay() -> None:
    changed = map_texts(ENTRY, str.upper)
    assert changed.model_name == "A"
    assert changed.served.headers == {"h": "V"}
    assert changed.served.tools == [{"type": "FUNCTION"}]
    assert changed.tags == ("T",)


def test_a_choice_is_not_a_text_to_change() -> None:
    assert map_texts(Router(), str.upper).routing_strategy is Strategy.WEIGHTED


def test_what_does_not_change_is_the_same_object() -> None:
    assert map_texts(ENTRY, str.lower) is ENTRY
