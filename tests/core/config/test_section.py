from dataclasses import FrozenInstanceError

import pytest

from pllm.core.config.schema import Auth, Limit, Params, Router
from pllm.core.config.section import set_fields


def test_sections_are_equal_by_class_and_content() -> None:
    assert Limit(rpm=5) == Limit(rpm=5)
    assert Limit(rpm=5) != Limit(rpm=6)
    assert Limit() != Router()


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Limit(rpm=5).rpm = 6  # type: ignore[misc]


def test_a_section_prints_what_is_set_and_masks_credentials() -> None:
    assert repr(Limit(rpm=5)) == "Limit(rpm=5)"
    assert repr(Auth(master_key="sk-secret")) == "Auth(master_key=***)"
    assert repr(Params(model="m", headers={"authorization": "sk-secret"})) == "Params(model='m', headers=***)"


def test_a_field_set_to_a_value_that_only_equals_its_default_counts_as_set() -> None:
    assert [field.name for field, _ in set_fields(Limit(sliding=0))] == ["sliding"]  # type: ignore[arg-type]


def test_every_key_is_documented_and_every_credential_marked() -> None:
    for cls in (Auth, Limit, Params, Router):
        for name, field in cls.__dataclass_fields__.items():
            metadata = field.type.__metadata__  # type: ignore[union-attr]
            assert str(metadata[-1]).endswith("."), name
            assert ("credential" in metadata) == any(
                word in name for word in ("key", "token", "credentials", "headers", "secret")
            ) or (name in ("max_tokens", "max_completion_tokens", "prompt_cache_key")), name
