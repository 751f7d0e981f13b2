"""Deployments whose names say nothing of the model: `model_info.base_model` (providers/deployments.py)."""

from pathlib import Path

from pllm.core import catalogue
from pllm.core.config import resolve
from pllm.core.config.loader import load
from pllm.core.profile import ModelProfile
from pllm.providers.deployments import Built, build
from pllm.providers.registry import Registry

PACKAGED = catalogue.parse(Path(catalogue.__file__).with_name(catalogue.PACKAGED).read_bytes(), catalogue.PACKAGED)


def profile_of(provider: str, model: str) -> ModelProfile:
    return PACKAGED.profile_of(provider, model, "2026-11-22")


def built(params: str, info: str = "") -> Built:
    text = f"model_list: [{{model_name: m, params: {{{params}}}, model_info: {{{info}}}}}]"
    variables: dict[str, str] = {}
    return build(resolve(load(text).config, variables.get).config, Registry(), variables, profile_of)


AZURE = "model: azure/my-deployment-name, api_key: k, api_base: 'https://my.openai.azure.com/'"


def only(found: Built) -> ModelProfile:
    return found.catalogue.models["m"][0].profile


def test_an_azure_deployment_named_as_one_likes_is_not_known() -> None:
    assert only(built(AZURE)) == ModelProfile()


def test_an_azure_deployment_is_what_its_base_model_is() -> None:
    for name in ("gpt-4o", "azure/gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06"):
        found = built(AZURE, f"base_model: {name}")
        assert only(found) == profile_of("openai", "gpt-4o")
        assert found.notes == ()


def test_an_application_inference_profile_is_what_its_base_model_is() -> None:
    arn = "bedrock/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
    profile = only(built(f"model: '{arn}'", "base_model: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'"))
    assert (profile.thinking, profile.prices.input) == ("budget", 3_300_000)


def test_what_the_entry_says_itself_goes_before_the_base_model() -> None:
    profile = only(built(AZURE, "base_model: gpt-4o, max_output_tokens: 99"))
    assert (profile.max_output_tokens, profile.max_input_tokens) == (99, 128_000)


def test_a_base_model_that_nobody_knows_is_said_and_claims_nothing() -> None:
    found = built(AZURE, "base_model: gpt-99")
    assert found.notes == ("base_model 'gpt-99' is not in the catalogue of models",)
    assert only(found) == ModelProfile()
