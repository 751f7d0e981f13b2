"""Our names in the conventions' words, as their own package has them."""

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from pllm.core.record import RequestRecord
from pllm.providers.registry import ROWS
from pllm.telemetry.emf import emf_line
from pllm.telemetry.genai_names import operation_of, provider_of


def test_providers_go_by_the_conventions_names() -> None:
    known = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    ours = {row.name: provider_of(row.name) for row in ROWS}
    without_one = {name for name, told in ours.items() if told not in known}
    assert without_one == {name for name in ours if ours[name] == name} - known
    assert {ours[name] for name in ("openai", "anthropic", "azure", "bedrock", "vertex", "gemini")} <= known
    assert {operation_of(name) for name in ("chat", "messages", "responses", "completions", "embeddings")} <= {
        one.value for one in gen_ai_attributes.GenAiOperationNameValues
    }


def test_the_metric_line_has_the_same_names() -> None:
    line = emf_line(RequestRecord("r", "messages", 0.0, model="m", provider="bedrock"), "f", 0)
    assert (line["gen_ai.operation.name"], line["gen_ai.provider.name"], line["provider"]) == ("chat", "aws.bedrock", "bedrock")
    assert {name for name in line if name.startswith("gen_ai.")} <= {
        value for value in vars(gen_ai_attributes).values() if isinstance(value, str)
    }
