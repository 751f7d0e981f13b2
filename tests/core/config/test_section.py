from dataclasses import FrozenInstanceError, replace

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
    with pytest.raises(FrozenInstanceError):
        del Limit(rpm=5).rpm


def test_a_section_takes_its_fields_by_name_and_no_others() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'rmp'"):
        Limit(rmp=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing the keyword arguments 'model'"):
        Params()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        Params(modle="x")  # type: ignore[call-arg]


def test_a_section_can_be_replaced_and_shares_nothing_with_its_neighbour() -> None:
    one, other = Router(), Router()
    assert one.fallbacks is not other.fallbacks
    assert replace(one, retries=7).retries == 7
    assert one.retries == 2


def test_a_section_prints_what_is_set_and_masks_credentials() -> None:
    assert repr(Limit(rpm=5)) == "Limit(rpm=5)"
    assert repr(Auth(master_key="sk-secret")) == "Auth(master_key=***)"
    assert repr(Params(model="m", headers={"authorization": "sk-secret"})) == "Params(model='m', headers=***)"


def test_a_field_set_to_a_value_that_only_equals_its_default_counts_as_set() -> None:
    assert [field.name for field, _ in set_fields(Limit(sliding=0))] == ["sliding"]  # type: ignore[arg-type]


def test_every_key_is_documented_and_every_credential_marked() -> None:
    for cls in (Auth, Limit, Params, Router):
        for name, field in cls.__dataclass_fields__.items():
            metadata = field.type.__metadata__
            assert str(metadata[-1]).endswith("."), name
            assert ("credential" in metadata) == any(
                word in name for word in ("key", "token", "credentials", "headers", "secret")
            ) or (name in ("max_tokens", "max_completion_tokens", "prompt_cache_key")), name
