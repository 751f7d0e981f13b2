import pytest

from pllm.core.config.policies import Logging, Telemetry
from pllm.core.config.schema import Config, ModelEntry, Params, Router
from pllm.core.config.section import Section
from pllm.core.config.suggest import did_you_mean, suggest_key


@pytest.mark.parametrize(
    ("word", "cls", "said"),
    [
        ("modle_name", ModelEntry, "did you mean 'model_name'?"),
        ("model-name", ModelEntry, "did you mean 'model_name'?"),
        ("Model_Name", ModelEntry, "did you mean 'model_name'?"),
        ("routre", Config, "did you mean 'router'?"),
        ("litellm_params", ModelEntry, "the key is 'params'"),
        ("base_url", Params, "the key is 'api_base'"),
        (
            "firehose_stream",
            Logging,
            "rows are exported by the template: deploy with RequestExport=on, and leave the key out",
        ),
        (
            "namespace",
            Telemetry,
            "the namespace of metrics is the template's: deploy with MetricsNamespace=..., and leave the key out",
        ),
        ("redis", Config, "state lives in the DynamoDB table of the template: leave the section out"),
        ("rpm", Params, "it belongs under model_list[]"),
        ("temperature", ModelEntry, "it belongs under model_list[].params"),
        ("input_cost_per_token", ModelEntry, "it belongs under model_list[].model_info"),
        ("fallbacks", Config, "it belongs under router"),
        ("model_aliases", Router, "it belongs under the top of the file"),
    ],
)
def test_an_unknown_key_is_answered_with_what_to_write(word: str, cls: type[Section], said: str) -> None:
    assert suggest_key(word, cls) == said


def test_a_key_like_no_other_is_answered_with_the_known_ones() -> None:
    assert suggest_key("zzzzzz", Router).startswith("known here: routing_strategy, circuit_breaker_enabled, ")


def test_a_name_like_no_other_has_no_suggestion() -> None:
    assert did_you_mean("zzz", ["gpt-4"]) == ""
