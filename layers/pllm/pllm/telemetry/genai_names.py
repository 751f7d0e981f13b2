"""Names of OpenTelemetry's conventions for generative AI: https://opentelemetry.io/docs/specs/semconv/gen-ai/."""

_OPERATIONS = {"chat": "chat", "messages": "chat", "responses": "chat", "completions": "text_completion"}

# Where the conventions have a name of their own for a provider of ours.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


def operation_of(endpoint: str) -> str:
    """`gen_ai.operation.name`: what is not in the conventions' list goes by the endpoint's own name."""
    return _OPERATIONS.get(endpoint, endpoint)


def provider_of(provider: str) -> str:
    """`gen_ai.provider.name`."""
    return _PROVIDERS.get(provider, provider)
