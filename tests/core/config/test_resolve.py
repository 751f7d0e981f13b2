import pytest

from pllm.core.config import Config, ConfigError, resolve
from pllm.core.config.loader import load
from pllm.core.config.resolve import used_variables

TEXT = """
model_list:
  - model_name: a
    params: {model: gpt-4, api_key: "${A_KEY}", api_base: "https://${HOST:-api.example.org}/v1/"}
  - model_name: b
    params: {model: gpt-4, api_key: "${B_KEY}", headers: {x-team: "${TEAM}"}}
  - model_name: c
    params: {model: gpt-4, api_key: ["${A_KEY}", "${B_KEY}"]}
"""


def config(text: str = TEXT) -> Config:
    return load(text).config


def said(text: str, variables: dict[str, str]) -> list[str]:
    return [str(problem) for problem in resolve(config(text), variables.get, "c.yaml").warnings]


def test_variables_are_filled_in_everywhere() -> None:
    resolved = resolve(config(), {"A_KEY": "sk-a", "B_KEY": "sk-b", "TEAM": "t", "HOST": "h.example"}.get)
    assert resolved.warnings == ()
    a, b, c = (entry.served for entry in resolved.config.model_list)
    assert (a.api_key, a.api_base) == (("sk-a",), "https://h.example/v1")
    assert b.headers == {"x-team": "t"}
    assert c.api_key == ("sk-a", "sk-b")


def test_an_entry_that_lacks_a_variable_is_disabled_and_named_and_keeps_its_place() -> None:
    resolved = resolve(config(), {"A_KEY": "sk-a"}.get, "c.yaml")
    assert [entry.enabled for entry in resolved.config.model_list] == [True, False, True]
    assert [str(problem) for problem in resolved.warnings] == [
        "c.yaml: warning: 'model_list[1]' (b) is disabled: B_KEY, TEAM are not set",
        "c.yaml: warning: 'model_list[2]' (c) goes without the keys whose variables are not set: B_KEY",
    ]
    assert resolved.config.model_list[2].served.api_key == ("sk-a",)


def test_a_reference_is_never_left_behind_as_a_key() -> None:
    resolved = resolve(config(), lambda name: None)
    assert not any(entry.enabled for entry in resolved.config.model_list)
    assert all("${" not in key for entry in resolved.config.model_list for key in entry.served.api_key)


def test_an_entry_that_is_switched_off_is_not_warned_of() -> None:
    assert said("model_list:\n  - {model_name: a, params: {model: x, api_key: '${K}'}, enabled: false}\n", {}) == []


def test_an_empty_variable_counts_as_none() -> None:
    assert said("model_list:\n  - {model_name: a, params: {model: x, api_key: '${K}'}}\n", {"K": ""}) == [
        "c.yaml: warning: 'model_list[0]' (a) is disabled: K is not set"
    ]


def test_an_empty_default_for_a_key_disables_the_entry() -> None:
    assert said("model_list:\n  - {model_name: a, params: {model: x, api_key: '${K:-}'}}\n", {}) == [
        "c.yaml: warning: 'model_list[0]' (a) is disabled: a variable's default is empty"
    ]


def test_an_address_from_a_variable_is_checked_when_it_is_known() -> None:
    text = "model_list:\n  - {model_name: a, params: {model: x, api_base: '${BASE}'}}\n"
    assert (
        "is disabled: api_base: expected an address such as https://host/v1, got 'example.org'"
        in said(text, {"BASE": "example.org"})[0]
    )
    resolved = resolve(config(text), {"BASE": "https://example.org/v1/"}.get)
    assert resolved.config.model_list[0].served.api_base == "https://example.org/v1"


def test_a_missing_variable_outside_the_models_is_an_error_that_names_its_place() -> None:
    text = TEXT + 'auth: {master_key: "${MASTER}"}\nguardrails: [{name: pii, provider: bedrock, guardrail_id: "${GUARD}"}]\n'
    with pytest.raises(ConfigError) as caught:
        resolve(config(text), {"A_KEY": "x", "B_KEY": "x", "TEAM": "t"}.get, "c.yaml")
    assert str(caught.value).splitlines() == [
        "c.yaml: error: 'auth.master_key': MASTER is not set; set it, or write ${NAME:-default}",
        "c.yaml: error: 'guardrails[0].guardrail_id': GUARD is not set; set it, or write ${NAME:-default}",
    ]


def test_names_may_come_from_variables_and_are_checked_again_then() -> None:
    text = "model_list:\n  - {model_name: '${NAME}', params: {model: x}}\nmodel_aliases: {smart: ['${NAME}']}\n"
    assert resolve(config(text), {"NAME": "a"}.get).config.model_aliases == {"smart": ("a",)}
    with pytest.raises(ConfigError, match="the alias 'smart' has the name of a model"):
        resolve(config(text), {"NAME": "smart"}.get)


def test_the_variables_of_a_configuration_are_listed_once_in_order() -> None:
    assert used_variables(config()) == ("A_KEY", "HOST", "B_KEY", "TEAM")
