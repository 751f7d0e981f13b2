"""`model_list[]`: what clients may call, where it is served, and what is known of it."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Annotated, Any, Literal, get_args

from pllm.core.config.kinds import (
    AnyValue,
    Count,
    Duration,
    Flag,
    HeaderName,
    HeaderValue,
    Index,
    Integer,
    Name,
    Names,
    Object,
    Objects,
    OneOrMany,
    Penalty,
    Price,
    Probability,
    Temperature,
    Text,
    Texts,
    Url,
    Weight,
    one_of,
)
from pllm.core.config.section import CREDENTIAL, Section, section
from pllm.core.profile import StructuredOutput, ThinkingStyle

Mode = Literal["chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "rerank"]
Dialect = Literal["chat", "messages", "responses", "converse", "gemini", "cohere"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Verbosity = Literal["low", "medium", "high"]
Modality = Literal["text", "image", "audio", "file"]

Dialects = Annotated[tuple[Annotated[Dialect, one_of(get_args(Dialect))], ...], OneOrMany()]
Modalities = Annotated[tuple[Annotated[Modality, one_of(get_args(Modality))], ...], OneOrMany()]


@section
class RequestDefaults(Section):
    """Request fields, in OpenAI Chat's spelling, that hold where the client is silent."""

    temperature: Annotated[Temperature | None, "Default sampling temperature."] = None
    top_p: Annotated[Probability | None, "Default nucleus sampling mass."] = None
    top_k: Annotated[Count | None, "Default number of candidate tokens (upstreams that have it)."] = None
    max_tokens: Annotated[Count | None, "Default cap on generated tokens."] = None
    max_completion_tokens: Annotated[Count | None, "The same, in OpenAI's newer spelling."] = None
    n: Annotated[Count | None, "Default number of choices."] = None
    stop: Annotated[Texts | None, "Default stop sequences."] = None
    presence_penalty: Annotated[Penalty | None, "Default presence penalty."] = None
    frequency_penalty: Annotated[Penalty | None, "Default frequency penalty."] = None
    logit_bias: Annotated[Object | None, "Default token biases: token id to bias."] = None
    logprobs: Annotated[Flag | None, "Whether log probabilities are returned by default."] = None
    top_logprobs: Annotated[Index | None, "Default number of alternatives with log probabilities."] = None
    seed: Annotated[Integer | None, "Default sampling seed."] = None
    response_format: Annotated[Object | None, "Default response format."] = None
    tools: Annotated[Objects | None, "Default tools."] = None
    tool_choice: Annotated[AnyValue | None, "Default tool choice."] = None
    parallel_tool_calls: Annotated[Flag | None, "Whether several tools may be called at once by default."] = None
    reasoning_effort: Annotated[Annotated[Effort, one_of(get_args(Effort))] | None, "Default reasoning effort."] = None
    verbosity: Annotated[Annotated[Verbosity, one_of(get_args(Verbosity))] | None, "Default verbosity."] = None
    service_tier: Annotated[Text | None, "Default service tier."] = None
    store: Annotated[Flag | None, "Whether the provider stores the answer by default."] = None
    user: Annotated[Text | None, "Default end-user id sent to the provider."] = None
    metadata: Annotated[Object | None, "Default metadata sent to the provider."] = None
    modalities: Annotated[Texts | None, "Default output modalities."] = None
    audio: Annotated[Object | None, "Default audio output settings."] = None
    prediction: Annotated[Object | None, "Default predicted output."] = None
    web_search_options: Annotated[Object | None, "Default web search settings."] = None
    safety_identifier: Annotated[Text | None, "Default end-user safety id."] = None
    prompt_cache_key: Annotated[Text | None, "Default prompt cache key."] = None
    prompt_cache_retention: Annotated[Text | None, "Default prompt cache retention."] = None
    dimensions: Annotated[Count | None, "Default length of an embedding."] = None
    input_type: Annotated[Text | None, "Default of what embeddings are for: `search_document`, `search_query`, ..."] = None

    @property
    def defaults(self) -> dict[str, Any]:
        """The fields that are set, as JSON values under their request names."""
        found = {item.name: getattr(self, item.name) for item in fields(RequestDefaults)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value is not None}


@section
class Params(RequestDefaults):
    """Where a model is served, and with what credential; and any of the request defaults below.

    `provider` and `model` are as written: see `split_model`.
    """

    model: Annotated[Text, "`provider/model`, or the provider's bare name for the model."]
    provider: Annotated[Text | None, "The provider, when `model` does not name it (or names another's)."] = None
    api_key: Annotated[
        Texts,
        CREDENTIAL,
        "Credential, or a list of them: each is a deployment of its own. Without one the provider's environment variables are used, numbered ones included.",  # noqa: E501
    ] = ()
    api_base: Annotated[Url | None, "Address to use instead of the provider's own."] = None
    api_version: Annotated[Text | None, "API version (Azure: the `api-version` of the query)."] = None
    region: Annotated[Text | None, "AWS region (Bedrock). Default: the function's own."] = None
    project: Annotated[Text | None, "Project (Vertex AI: Google Cloud project; OpenAI: project id)."] = None
    location: Annotated[Text | None, "Google Cloud location (Vertex AI)."] = None
    organization: Annotated[Text | None, "Organization id (OpenAI)."] = None
    credentials: Annotated[
        Text | None, CREDENTIAL, "Google service account or workload identity: JSON text or a file's path."
    ] = None
    aws_access_key_id: Annotated[Text | None, CREDENTIAL, "AWS access key (Bedrock). Default: the function's role."] = None
    aws_secret_access_key: Annotated[Text | None, CREDENTIAL, "Its secret."] = None
    aws_session_token: Annotated[Text | None, CREDENTIAL, "Its session token."] = None
    headers: Annotated[Mapping[HeaderName, HeaderValue], CREDENTIAL, "HTTP headers added to every upstream request."] = field(
        default_factory=dict
    )
    dialects: Annotated[
        Dialects,
        "Dialects that a custom `api_base` speaks. Default: the provider's chat dialect only.",
    ] = ()


@section
class ProviderForm(RequestDefaults):
    """The fuller form of `params`, with names of its own; and any of the request defaults below.

    It becomes `Params` when loaded.
    """

    type: Annotated[Name, "The provider: `openai`, `azure`, `anthropic`, `bedrock`, `vertex`, `openrouter`, ..."]
    name: Annotated[Name | None, "A label for people."] = None
    model: Annotated[Text | None, "The provider's name for the model. Azure: or `azure_deployment`."] = None
    api_key: Annotated[Texts, CREDENTIAL, "As `params.api_key`."] = ()
    base_url: Annotated[Url | None, "As `params.api_base`."] = None
    api_version: Annotated[Text | None, "As `params.api_version`."] = None
    org_id: Annotated[Text | None, "As `params.organization`."] = None
    project_id: Annotated[Text | None, "As `params.project`."] = None
    region: Annotated[Text | None, "As `params.region`."] = None
    location: Annotated[Text | None, "As `params.location`."] = None
    azure_deployment: Annotated[Text | None, "Azure: the deployment's name, in place of `model`."] = None
    azure_endpoint: Annotated[Url | None, "Azure: the resource's address, in place of `base_url`."] = None
    aws_access_key_id: Annotated[Text | None, CREDENTIAL, "As `params.aws_access_key_id`."] = None
    aws_secret_access_key: Annotated[Text | None, CREDENTIAL, "As `params.aws_secret_access_key`."] = None
    aws_session_token: Annotated[Text | None, CREDENTIAL, "As `params.aws_session_token`."] = None
    aws_region_name: Annotated[Text | None, "In place of `region`."] = None
    vertex_project: Annotated[Text | None, "In place of `project_id`."] = None
    vertex_location: Annotated[Text | None, "In place of `location`."] = None
    credentials: Annotated[Text | None, CREDENTIAL, "As `params.credentials`."] = None
    headers: Annotated[Mapping[HeaderName, HeaderValue], CREDENTIAL, "As `params.headers`."] = field(default_factory=dict)
    dialects: Annotated[
        Dialects,
        "As `params.dialects`.",
    ] = ()


@section
class ModelInfo(Section):
    """What is known of a model, over what the catalogue says. Prices are USD for one token (or unit)."""

    base_model: Annotated[
        Text | None,
        "The model behind a name that says nothing (an Azure deployment, an application inference profile), as `model` or `provider/model`: what the catalogue knows of it holds here, prices too.",  # noqa: E501
    ] = None
    mode: Annotated[Annotated[Mode, one_of(get_args(Mode), {"audio": "transcription"})] | None, "What the model is for."] = None
    max_tokens: Annotated[Count | None, "Context window in tokens; `max_input_tokens` goes before it."] = None
    max_input_tokens: Annotated[Count | None, "Longest prompt, in tokens."] = None
    max_output_tokens: Annotated[Count | None, "Longest answer, in tokens."] = None
    default_max_tokens: Annotated[Count | None, "Tokens to ask for and to reserve when the client sets no cap."] = None
    supports_functions: Annotated[Flag | None, "Whether the model calls tools."] = None
    supports_function_calling: Annotated[Flag | None, "The same."] = None
    supports_tool_choice: Annotated[Flag | None, "Whether a tool call can be forced."] = None
    supports_parallel_function_calling: Annotated[Flag | None, "Whether `parallel_tool_calls` may be sent."] = None
    supports_vision: Annotated[Flag | None, "Whether images may be sent."] = None
    supports_audio_input: Annotated[Flag | None, "Whether audio may be sent."] = None
    supports_pdf_input: Annotated[Flag | None, "Whether files (PDF) may be sent."] = None
    supports_response_schema: Annotated[
        Flag | None, "Whether JSON schemas are enforced by the provider; else they are emulated."
    ] = None
    supports_reasoning: Annotated[Flag | None, "Whether the model can be asked to think."] = None
    supports_prompt_caching: Annotated[Flag | None, "Whether cache marks may be sent."] = None
    supports_assistant_prefill: Annotated[Flag | None, "Whether the conversation may end with an assistant message."] = None
    modalities: Annotated[
        Modalities | None,
        "What may be sent, all of it; goes before supports_*.",
    ] = None
    thinking: Annotated[
        Annotated[ThinkingStyle, one_of(get_args(ThinkingStyle))] | None, "How the model is asked to think."
    ] = None
    structured_output: Annotated[
        Annotated[StructuredOutput, one_of(get_args(StructuredOutput))] | None, "How JSON schemas are honoured."
    ] = None
    refused_params: Annotated[Names | None, "Request fields that the model refuses, all of them."] = None
    max_stop_sequences: Annotated[Index | None, "Most stop sequences that may be sent."] = None
    input_cost_per_token: Annotated[Price | None, "Price of a prompt token."] = None
    output_cost_per_token: Annotated[Price | None, "Price of a generated token."] = None
    output_cost_per_reasoning_token: Annotated[Price | None, "Price of a reasoning token. Default: as generated."] = None
    cache_read_input_token_cost: Annotated[Price | None, "Price of a prompt token read from the cache."] = None
    cache_creation_input_token_cost: Annotated[Price | None, "Price of a prompt token written to the cache (5 minutes)."] = None
    cache_creation_input_token_cost_above_1hr: Annotated[Price | None, "The same for an hour."] = None
    input_cost_per_audio_token: Annotated[Price | None, "Price of an audio token sent."] = None
    output_cost_per_audio_token: Annotated[Price | None, "Price of an audio token generated."] = None
    input_cost_per_token_above_200k_tokens: Annotated[Price | None, "Prompt token price when the prompt exceeds 200,000."] = (
        None
    )
    output_cost_per_token_above_200k_tokens: Annotated[Price | None, "Generated token price then."] = None
    cache_read_input_token_cost_above_200k_tokens: Annotated[Price | None, "Cache read price then."] = None
    output_cost_per_image: Annotated[Price | None, "Price of a generated image."] = None
    input_cost_per_second: Annotated[Price | None, "Price of a second of audio sent."] = None
    input_cost_per_character: Annotated[Price | None, "Price of a character sent (speech)."] = None
    input_cost_per_query: Annotated[Price | None, "Price of a search unit (rerank)."] = None


@section
class ModelEntry(Section):
    """One deployment (or one for each of its keys). Entries with one `model_name` are balanced. Exactly one of `params` and
    `provider` is written.

    Once loaded, `params` is always there and `provider` never is.
    """

    model_name: Annotated[Name, "What clients call it."]
    id: Annotated[Name | None, "Stable id for shared state and metrics. Default: derived from where the model is served."] = (
        None
    )
    params: Annotated[Params | None, "Where the model is served."] = None
    provider: Annotated[ProviderForm | None, "The fuller form of `params`: one of the two."] = None
    model_info: Annotated[ModelInfo | None, "What is known of the model, over the catalogue."] = None
    rpm: Annotated[Count | None, "Requests a minute that this entry may be sent. Default: no limit."] = None
    tpm: Annotated[Count | None, "Tokens a minute that this entry may be sent. Default: no limit."] = None
    max_parallel: Annotated[Count | None, "Calls in flight that this entry may have. Default: no limit."] = None
    timeout: Annotated[Duration, "Longest time for a whole call."] = 600.0
    stream_idle_timeout: Annotated[Duration, "Longest silence inside a stream."] = 60.0
    priority: Annotated[Index, "Lower numbers go first."] = 0
    weight: Annotated[Weight, "Share of the traffic among entries of one priority."] = 1.0
    tags: Annotated[
        Names,
        "Requests may name one (`x-pllm-tags`), and go to entries that have it. See docs/tags.md.",
    ] = ()
    enabled: Annotated[Flag, "Whether it is used at all."] = True

    @property
    def served(self) -> Params:
        """`params`, which a loaded entry always has."""
        if self.params is None:
            raise ValueError(f"model {self.model_name!r} was not loaded: it has no params")
        return self.params
