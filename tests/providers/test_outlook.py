"""What a gateway would warn of, known before it takes a configuration up."""

import pytest

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
