"""The table of providers. An OpenAI-compatible one is a row here and nothing else."""

from collections.abc import Iterable

from pllm.providers.base import Checkup, ProviderRow
from pllm.wire.lane import Quirks

_NEW_CAP = Quirks(token_cap="max_completion_tokens")
_OLD_CAP = Quirks(token_cap="max_tokens")

# Both want a credential.
_ITS_MODEL = Checkup("models/{model}")
_MODELS = Checkup("models")
# Free of charge on Bedrock (Claude; other models refuse it) and on Vertex AI.
_COUNT = Checkup("")

ROWS: tuple[ProviderRow, ...] = (
    ProviderRow(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        dialects=("chat", "responses"),
        quirks=_NEW_CAP,
        checkup=_ITS_MODEL,
    ),
    ProviderRow(
        "azure",
        "Azure OpenAI",
        None,
        "AZURE_API_KEY",
        dialects=("chat", "responses"),
        auth="api-key",
        kind="azure",
        synonyms=("azure-openai", "azure_openai", "azure_ai"),
        checkup=_MODELS,
    ),
    ProviderRow(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        env_headers={"HTTP-Referer": "OPENROUTER_HTTP_REFERER", "X-Title": "OPENROUTER_X_TITLE"},
        quirks=Quirks(
            token_cap="max_tokens",
            reasoning_field="reasoning_details",
            cache_marks="cache_control",
            accepted=frozenset(
                {"top_k", "top_a", "min_p", "repetition_penalty", "provider", "models", "plugins", "transforms"}
            ),
        ),
        checkup=Checkup("key"),
    ),
    ProviderRow("groq", "Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", quirks=_NEW_CAP, checkup=_ITS_MODEL),
    ProviderRow(
        "mistral",
        "Mistral AI",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        # Mistral streams usage by itself and answers 422 to fields it does not know.
        quirks=Quirks(
            token_cap="max_tokens",
            stream_usage=False,
            refused=frozenset({"logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier"}),
        ),
        checkup=_ITS_MODEL,
    ),
    ProviderRow(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        quirks=Quirks(token_cap="max_tokens", reasoning_field="reasoning_content", accepted=frozenset({"thinking"})),
        checkup=_MODELS,
    ),
    ProviderRow(
        "together",
        "Together AI",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        synonyms=("together_ai",),
        quirks=_OLD_CAP,
        checkup=_MODELS,
    ),
    ProviderRow(
        "fireworks",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        synonyms=("fireworks_ai",),
        quirks=_OLD_CAP,
        checkup=_MODELS,
    ),
    ProviderRow("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", quirks=_NEW_CAP, checkup=_ITS_MODEL),
    ProviderRow(
        "cerebras",
        "Cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        quirks=Quirks(
            token_cap="max_completion_tokens",
            refused=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "service_tier"}),
        ),
        checkup=_MODELS,
    ),
    ProviderRow(
        "perplexity",
        "Perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        # Usage comes in every chunk; the option itself is unknown there.
        quirks=Quirks(token_cap="max_tokens", stream_usage=False, refused=frozenset({"n", "logit_bias", "seed"})),
        checkup=None,
    ),
    ProviderRow(
        "nvidia",
        "NVIDIA NIM",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        synonyms=("nvidia_nim",),
        quirks=_OLD_CAP,
    ),
    ProviderRow("ollama", "Ollama", "http://127.0.0.1:11434/v1", "OLLAMA_API_KEY", key_required=False, quirks=_OLD_CAP),
    ProviderRow(
        "compatible",
        "vLLM or any OpenAI-compatible server",
        None,
        "COMPATIBLE_API_KEY",
        key_required=False,
        synonyms=("vllm", "openai-compatible", "openai_compatible", "hosted_vllm", "lm_studio", "llamacpp"),
    ),
    ProviderRow(
        "cohere",
        "Cohere",
        "https://api.cohere.com",
        "COHERE_API_KEY",
        dialects=("chat", "cohere"),
        kind="cohere",
        synonyms=("cohere_chat",),
        quirks=_OLD_CAP,
        checkup=None,
    ),
    ProviderRow(
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        dialects=("messages",),
        auth="x-api-key",
        headers={"anthropic-version": "2023-06-01"},
        checkup=_ITS_MODEL,
    ),
    ProviderRow(
        "bedrock",
        "AWS Bedrock",
        None,
        "AWS_BEARER_TOKEN_BEDROCK",
        dialects=("converse",),
        auth="sigv4",
        kind="bedrock",
        key_required=False,
        synonyms=("aws", "amazon-bedrock", "amazon_bedrock"),
        checkup=_COUNT,
    ),
    ProviderRow(
        "vertex",
        "Google Vertex AI",
        None,
        "VERTEX_API_KEY",
        dialects=("gemini",),
        auth="google",
        kind="vertex",
        key_required=False,
        synonyms=("vertex_ai", "vertexai", "google-vertex"),
        quirks=Quirks(variant="vertex", needs_bytes=frozenset({"image", "document"})),
        checkup=_COUNT,
    ),
    ProviderRow(
        "gemini",
        "Google Gemini API",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        dialects=("gemini",),
        auth="x-goog-api-key",
        kind="gemini",
        quirks=Quirks(variant="gemini"),
        synonyms=("google", "google-ai-studio", "google_ai_studio"),
        checkup=_ITS_MODEL,
    ),
)


class Registry:
    """Rows by name and synonym."""

    def __init__(self, rows: Iterable[ProviderRow] = ROWS) -> None:
        self.rows = tuple(rows)
        self._by_name = {name: row for row in self.rows for name in (row.name, *row.synonyms)}

    def get(self, name: str) -> ProviderRow | None:
        """The row for a name or synonym, any case; None when there is none."""
        return self._by_name.get(name.lower())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)
