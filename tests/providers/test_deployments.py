"""From configuration entries to deployments."""

import pytest

from pllm.core.config import resolve
from pllm.core.config.loader import load
from pllm.core.profile import ModelProfile
from pllm.providers.deployments import Built, build
from pllm.providers.registry import Registry


def built(text: str, **variables: str) -> Built:
    config = resolve(load(text).config, variables.get).config
    return build(config, Registry(), variables, lambda provider, model: ModelProfile())


def one(params: str, **variables: str) -> tuple[str, str, str | None]:
    (deployment,) = built(f"model_list: [{{model_name: m, params: {{{params}}}}}]", **variables).catalogue.models["m"]
    return deployment.provider, deployment.model, deployment.api_base


@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        ("model: gpt-4, api_key: k", "openai", "gpt-4"),
        ("model: openai/gpt-4, api_key: k", "openai", "gpt-4"),
        ("model: GROQ/llama, api_key: k", "groq", "llama"),
        (
            "model: azure/my-deployment-name, api_key: k, api_base: 'https://my.openai.azure.com/'",
            "azure",
            "my-deployment-name",
        ),
        ("model: gpt-4, api_key: k, api_base: 'https://my.openai.azure.com'", "azure", "gpt-4"),
        ("model: openai/gpt-4-turbo, api_key: k, api_base: 'https://openrouter.ai/api/v1'", "openrouter", "openai/gpt-4-turbo"),
        ("model: openrouter/anthropic/claude-3, api_key: k", "openrouter", "anthropic/claude-3"),
        ("model: my-org/my-model, api_base: 'http://10.0.0.1:8000/v1'", "compatible", "my-org/my-model"),
        ("model: vllm/my-model, api_base: 'http://10.0.0.1:8000/v1'", "compatible", "my-model"),
        ("model: openai/gpt-4, api_key: k, api_base: 'http://proxy:1/v1'", "openai", "gpt-4"),
        ("model: ollama/llama3", "ollama", "llama3"),
        ("model: gpt-4, provider: azure, api_key: k, api_base: 'https://x.example'", "azure", "gpt-4"),
        ("model: bedrock/anthropic.claude-3-haiku-20240307-v1:0", "bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
    ],
)
def test_the_provider_follows_from_what_the_entry_says(params: str, provider: str, model: str) -> None:
    assert one(params)[:2] == (provider, model)


def test_numbered_and_named_keys_are_deployments_of_their_own() -> None:
    keys = {"OPENAI_API_KEY": "a", "OPENAI_API_KEY_1": "b", "OPENAI_API_KEY_2": "c", "OPENAI_API_KEY_EAST": "d"}
    deployments = built("model_list: [{model_name: m, params: {model: gpt-4}}]", **keys).catalogue.models["m"]
    assert [d.id for d in deployments] == ["m@openai/gpt-4", "m@openai/gpt-4#1", "m@openai/gpt-4#2", "m@openai/gpt-4#east"]
    assert [d.api_key.reveal() for d in deployments if d.api_key] == ["a", "b", "c", "d"]


def test_a_numbered_key_alone_is_enough() -> None:
    (deployment,) = built("model_list: [{model_name: m, params: {model: groq/llama}}]", GROQ_API_KEY_1="k").catalogue.models[
        "m"
    ]
    assert deployment.api_key is not None
    assert deployment.api_key.reveal() == "k"


def test_a_list_of_keys_is_several_deployments() -> None:
    deployments = built("model_list: [{model_name: m, params: {model: gpt-4, api_key: [a, b]}}]").catalogue.models["m"]
    assert [d.id for d in deployments] == ["m@openai/gpt-4#1", "m@openai/gpt-4#2"]


def test_an_id_does_not_depend_on_the_order_of_entries() -> None:
    first = "{model_name: m, params: {model: gpt-4, api_key: k}}"
    second = "{model_name: m, params: {model: groq/llama, api_key: k}}"
    forth = {d.id for d in built(f"model_list: [{first}, {second}]").catalogue.models["m"]}
    back = {d.id for d in built(f"model_list: [{second}, {first}]").catalogue.models["m"]}
    assert forth == back


def test_equal_entries_still_have_ids_of_their_own() -> None:
    entry = "{model_name: m, params: {model: gpt-4, api_key: k}}"
    ids = [d.id for d in built(f"model_list: [{entry}, {entry}]").catalogue.models["m"]]
    assert len(set(ids)) == 2


def test_an_id_holds_no_credential() -> None:
    (deployment,) = built("model_list: [{model_name: m, params: {model: gpt-4, api_key: sk-very-secret}}]").catalogue.models[
        "m"
    ]
    assert "secret" not in deployment.id
    assert "secret" not in repr(deployment)


def test_a_model_without_a_credential_is_not_served_and_says_which_variable_to_set() -> None:
    result = built("model_list: [{model_name: m, params: {model: gpt-4}}]")
    assert result.catalogue.models == {}
    assert "OPENAI_API_KEY" in result.notes[0]


def test_a_model_with_one_usable_entry_is_served() -> None:
    text = "model_list: [{model_name: m, params: {model: gpt-4}}, {model_name: m, params: {model: groq/x, api_key: k}}]"
    result = built(text)
    assert [d.provider for d in result.catalogue.models["m"]] == ["groq"]
    assert result.notes == ()


def test_an_unresolved_variable_never_becomes_a_key() -> None:
    result = built("model_list: [{model_name: m, params: {model: gpt-4, api_key: '${NOT_SET}'}}]")
    assert result.catalogue.models == {}
    assert "m" in result.catalogue.disabled


@pytest.mark.parametrize(
    ("params", "dialects"),
    [
        ("model: openai/gpt-4, api_key: k", ("chat", "responses")),
        ("model: openai/gpt-4, api_key: k, api_base: 'https://api.openai.com/v1'", ("chat", "responses")),
        ("model: openai/gpt-4, api_key: k, api_base: 'http://proxy/v1'", ("chat",)),
        ("model: openai/gpt-4, api_key: k, api_base: 'http://proxy/v1', dialects: [chat, responses]", ("chat", "responses")),
        ("model: anthropic/claude, api_key: k", ("messages",)),
        ("model: bedrock/x", ("converse",)),
        ("model: gemini/x, api_key: k", ("gemini",)),
    ],
)
def test_a_custom_address_speaks_the_first_dialect_only_unless_told_more(params: str, dialects: tuple[str, ...]) -> None:
    (deployment,) = built(f"model_list: [{{model_name: m, params: {{{params}}}}}]").catalogue.models["m"]
    assert deployment.dialects == dialects


def test_what_an_entry_says_reaches_its_deployment() -> None:
    text = """
    model_list:
      - model_name: m
        params: {model: gpt-4, api_key: k, temperature: 0.2, headers: {x-team: blue}, organization: org, region: eu-west-1}
        timeout: 30s
        stream_idle_timeout: 5s
        rpm: 10
        tpm: 20
        max_parallel: 3
        priority: 2
        weight: 5
        tags: [a]
    """
    (d,) = built(text).catalogue.models["m"]
    assert d.defaults == {"temperature": 0.2}
    assert d.headers == {"x-team": "blue"}
    assert (d.timeout_s, d.stream_idle_timeout_s) == (30.0, 5.0)
    assert (d.rpm, d.tpm, d.max_parallel) == (10, 20, 3)
    assert (d.priority, d.weight, d.tags, d.organization, d.region) == (2, 5.0, ("a",), "org", "eu-west-1")
