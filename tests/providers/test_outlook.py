"""What a gateway would warn of, known before it takes a configuration up."""

from functools import partial
from pathlib import Path

import pytest

from pllm.core import catalogue
from pllm.core.config import ConfigError
from pllm.core.config.loader import load
from pllm.providers.outlook import outlook
from pllm.providers.registry import Registry

TEXT = """
model_list:
  - {model_name: named, params: {model: gpt-4o, api_key: "${MY_KEY}"}}
  - {model_name: found, params: {model: openai/gpt-4o}}
  - {model_name: found, params: {model: groq/llama}}
  - {model_name: addressless, params: {model: azure/mine, api_key: k}}
  - {model_name: keyless, params: {model: ollama/llama3}}
  - {model_name: off, params: {model: mistral/large}, enabled: false}
"""


def warned(text: str = TEXT, **variables: str) -> list[str]:
    return [str(one) for one in outlook(load(text).config, variables, Registry(), "c.yaml")]


def test_each_entry_that_could_not_be_used_is_named_with_what_it_lacks() -> None:
    assert warned() == [
        "c.yaml: warning: 'model_list[0]' (named) is disabled: MY_KEY is not set",
        "c.yaml: warning: 'model_list[1]' (found) is disabled: no credential was found; OpenAI takes one in OPENAI_API_KEY",
        "c.yaml: warning: 'model_list[2]' (found) is disabled: no credential was found; Groq takes one in GROQ_API_KEY",
        "c.yaml: warning: 'model_list[3]' (addressless) is disabled: Azure OpenAI needs an 'api_base'",
    ]


def test_what_the_environment_or_the_secret_holds_is_not_missed() -> None:
    (left,) = warned(MY_KEY="k", OPENAI_API_KEY_2="k", GROQ_API_KEY="k")
    assert "(addressless)" in left


def test_a_variable_that_protects_and_is_not_set_is_an_error() -> None:
    with pytest.raises(ConfigError, match="TOKEN is not set"):
        warned(TEXT + "auth: {scrape_token: '${TOKEN}'}\n")


MIXED = """
model_list:
  - {model_name: small, params: {model: openai/text-embedding-3-small, api_key: k}}
  - model_name: small
    params: {model: azure/mine, api_key: k, api_base: "https://x"}
    model_info: {base_model: openai/text-embedding-3-small}
  - {model_name: cohere, params: {model: bedrock/us.cohere.embed-v4:0}}
  - {model_name: cohere, params: {model: cohere/embed-v4.0, api_key: k}}
  - {model_name: google, params: {model: gemini/gemini-embedding-001, api_key: k}}
  - {model_name: google, params: {model: vertex/gemini-embedding-001, api_key: k}}
  - {model_name: chat, params: {model: openai/gpt-4o, api_key: k}}
  - {model_name: mine, params: {model: ollama/nomic-embed}, model_info: {mode: embedding}}
"""


def mixes(text: str) -> list[str]:
    packaged = catalogue.parse(Path(catalogue.__file__).with_name(catalogue.PACKAGED).read_bytes(), catalogue.PACKAGED)
    profile_of = partial(packaged.profile_of, today=packaged.version)
    found = outlook(load(text).config, {}, Registry(), "c.yaml", profile_of)
    return [one.message for one in found if "mixes embedding models" in one.message]


def test_one_embedding_model_of_several_providers_is_one_model() -> None:
    assert mixes(MIXED) == []


def test_another_embedding_model_behind_the_same_name_is_warned_of() -> None:
    (told,) = mixes(MIXED + "  - {model_name: small, params: {model: bedrock/amazon.titan-embed-text-v2:0}}\n")
    assert told.startswith(
        "'model_list[0]' mixes embedding models behind 'small': text-embedding-3-small and titan-embed-text-v2 make vectors"
    )


def test_so_are_other_dimensions_of_one_model() -> None:
    (told,) = mixes(MIXED + "  - {model_name: small, params: {model: text-embedding-3-small, dimensions: 256, api_key: k}}\n")
    assert "text-embedding-3-small and text-embedding-3-small of 256 dimensions" in told


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("model_aliases: {embed: [small, google]}", "'model_aliases.embed'"),
        ("model_aliases: {a: [chat, small], b: [mine, cohere]}", "'model_aliases.b'"),
        ("routes: [{slug: r, models: [small], fallback_models: [cohere]}]", "'routes[0]'"),
        ("router: {fallbacks: {small: [google]}}", "'router.fallbacks.small'"),
        (
            "model_aliases: {a: [small]}\nrouter: {context_window_fallbacks: {a: [cohere]}}",
            "'router.context_window_fallbacks.a'",
        ),
    ],
)
def test_so_are_aliases_routes_and_fallbacks_that_lead_to_another(more: str, place: str) -> None:
    (told,) = mixes(f"{MIXED}{more}\n")
    assert told.startswith(f"{place} mixes embedding models")


def test_a_chat_model_beside_an_embedding_model_mixes_nothing() -> None:
    assert mixes(f"{MIXED}model_aliases: {{a: [small, chat]}}\nrouter: {{fallbacks: {{small: [chat]}}}}\n") == []
