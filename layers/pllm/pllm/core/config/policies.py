"""`limits`, `budgets`, `cache`, `auth`, `logging`, `telemetry`, `guardrails`: what is allowed, kept and told."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal, get_args

from pllm.core.config.kinds import (
    Count,
    Duration,
    Flag,
    Money,
    Name,
    Names,
    NotEmpty,
    OneOrMany,
    Size,
    Text,
    Texts,
    Url,
    one_of,
)
from pllm.core.config.section import CREDENTIAL, Section, section

LAMBDA_BODY_BYTES = 6 * 1024 * 1024
"""What Lambda takes as one request at most."""

OnStateError = Literal["open", "closed"]
Period = Literal["day", "week", "month", "total"]
CacheScope = Literal["key", "team", "all"]
Role = Literal["admin", "viewer", "user"]
Level = Literal["debug", "info", "warning", "error"]
GuardMode = Literal["pre_call", "during_call", "post_call", "logging_only"]
GuardProvider = Literal["bedrock", "presidio", "lakera", "openai"]
SigningAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]

GuardModes = Annotated[tuple[Annotated[GuardMode, one_of(get_args(GuardMode))], ...], OneOrMany()]
SigningAlgorithms = Annotated[tuple[Annotated[SigningAlgorithm, one_of(get_args(SigningAlgorithm))], ...], OneOrMany()]

_PERIODS = {"daily": "day", "weekly": "week", "monthly": "month", "24h": "day", "1d": "day", "7d": "week", "30d": "month"}


@section
class Limit(Section):
    """What one key, team or model may use. What is not given is not limited."""

    rpm: Annotated[Count | None, "Requests a minute."] = None
    tpm: Annotated[Count | None, "Tokens a minute, prompt and answer together."] = None
    max_parallel: Annotated[Count | None, "Calls in flight."] = None
    sliding: Annotated[Flag, "Weigh the minute before in, so that no two half minutes exceed the limit."] = False


@section
class Limits(Section):
    """Requests, tokens and parallel calls by whose they are. All that apply hold at once."""

    default_key: Annotated[Limit | None, "For each virtual key that has no limit of its own."] = None
    default_team: Annotated[Limit | None, "For each team that has no limit of its own."] = None
    keys: Annotated[Mapping[Name, Limit], "By the name of a virtual key."] = field(default_factory=dict)
    teams: Annotated[Mapping[Name, Limit], "By the name of a team."] = field(default_factory=dict)
    models: Annotated[Mapping[Name, Limit], "By model name, over all its deployments."] = field(default_factory=dict)
    on_state_error: Annotated[
        Annotated[OnStateError, one_of(get_args(OnStateError))],
        "`open`: with the table unreachable, limits are kept approximately in memory. `closed`: requests get 503.",
    ] = "open"
    max_body: Annotated[Size, "Largest request body; beyond it, 413. Lambda takes no more than the default."] = (
        LAMBDA_BODY_BYTES
    )


@section
class Budget(Section):
    """Money that one key, team or model may spend in a period."""

    amount: Annotated[Money, "USD (held as integer micro-dollars)."]
    period: Annotated[Annotated[Period, one_of(get_args(Period), _PERIODS)], "When it starts anew; `total` never does."] = (
        "month"
    )
    timezone: Annotated[Text, "IANA name of the zone in which a period begins."] = "UTC"


@section
class Budgets(Section):
    """Money by whose it is. All that apply hold at once."""

    default_key: Annotated[Budget | None, "For each virtual key that has no budget of its own."] = None
    default_team: Annotated[Budget | None, "For each team that has no budget of its own."] = None
    keys: Annotated[Mapping[Name, Budget], "By the name of a virtual key."] = field(default_factory=dict)
    teams: Annotated[Mapping[Name, Budget], "By the name of a team."] = field(default_factory=dict)
    models: Annotated[Mapping[Name, Budget], "By model name."] = field(default_factory=dict)
    on_state_error: Annotated[
        Annotated[OnStateError, one_of(get_args(OnStateError))],
        "`closed`: with the table unreachable, budgeted requests get 503. `open`: they pass, capped per environment.",
    ] = "closed"
    strict: Annotated[Flag, "Charge what a crashed request had reserved, instead of giving it back."] = False
    exact: Annotated[
        Flag, "Settle each request exactly once even when an answer from the table is lost (twice the write price)."
    ] = False


@section
class Cache(Section):
    """Answers kept for identical requests."""

    enabled: Annotated[Flag, "Whether answers are kept."] = False
    ttl: Annotated[Duration, "How long an answer is kept."] = 300.0
    scope: Annotated[Annotated[CacheScope, one_of(get_args(CacheScope))], "Who shares answers."] = "key"
    max_size: Annotated[Size, "Largest answer kept."] = 350_000
    models: Annotated[Names, "Model names (globs) whose answers are kept. Default: all."] = ("*",)


@section
class IamPrincipal(Section):
    """Callers under /iam/v1, by the role that signed."""

    arn: Annotated[Text, "Pattern of the role's ARN, without a path before its name; `*` stands for any characters."]
    name: Annotated[Name, "Name for usage, limits and budgets."]
    team: Annotated[Name | None, "Team they belong to."] = None
    role: Annotated[Annotated[Role, one_of(get_args(Role))], "What they may do."] = "user"
    models: Annotated[Names, "Model names (globs) they may use."] = ("*",)
    limit: Annotated[Limit | None, "Limit for each principal."] = None
    budget: Annotated[Budget | None, "Budget for each principal."] = None


@section
class OidcIssuer(Section):
    """Callers with a token of an identity provider."""

    issuer: Annotated[Url, "The token's `iss`."]
    audience: Annotated[Texts, NotEmpty(), "Accepted `aud`, at least one."]
    jwks_url: Annotated[Url | None, "Where the signing keys are. Default: what the issuer's discovery document says."] = None
    algorithms: Annotated[SigningAlgorithms, NotEmpty(), "Accepted signing algorithms."] = ("RS256",)
    user_claim: Annotated[Text, "Claim that names the caller."] = "sub"
    team_claim: Annotated[Text | None, "Claim that names the team."] = None
    role_claim: Annotated[Text | None, "Claim that names the role."] = None
    role: Annotated[Annotated[Role, one_of(get_args(Role))], "Role when no claim says so."] = "user"
    models: Annotated[Names, "Model names (globs) they may use."] = ("*",)
    limit: Annotated[Limit | None, "Limit for each caller."] = None
    budget: Annotated[Budget | None, "Budget for each caller."] = None


@section
class Auth(Section):
    """Who may call."""

    master_key: Annotated[
        Text | None,
        CREDENTIAL,
        "The administrator's key, best as `${PLLM_MASTER_KEY}`. Default: that variable, then the secret.",
    ] = None
    scrape_token: Annotated[Text | None, CREDENTIAL, "Bearer token that may read /metrics and nothing else."] = None
    iam: Annotated[tuple[IamPrincipal, ...], "Callers by AWS role."] = ()
    oidc: Annotated[tuple[OidcIssuer, ...], "Callers by token."] = ()


@section
class Logging(Section):
    """The log. It never holds a prompt, an answer or a credential."""

    level: Annotated[
        Annotated[Level, one_of(get_args(Level), {"warn": "warning"})],
        "Least severe line that the data plane writes; metrics always are. `warning` leaves out requests that went well, and "
        "with them rows of the saved queries and of the export to S3; `debug` is as `info`.",
    ] = "info"


@section
class Telemetry(Section):
    """Traces: docs/tracing.md."""

    propagate: Annotated[Flag, "Whether providers are sent the client's `traceparent`, a new span id in it."] = True
    otlp_endpoint: Annotated[
        Url | None,
        "OpenTelemetry collector that gets spans. Default: what OTEL_EXPORTER_OTLP_ENDPOINT names, else no export.",
    ] = None
    record_content: Annotated[Flag, "Whether spans hold prompts and answers. The log never does."] = False


@section
class Guardrail(Section):
    """A check of what goes in or comes out."""

    name: Annotated[Name, "What requests call it."]
    provider: Annotated[Annotated[GuardProvider, one_of(get_args(GuardProvider))], "Who checks."]
    mode: Annotated[GuardModes, NotEmpty(), "When: before, during or after the call, or only logging."] = ("pre_call",)
    default_on: Annotated[Flag, "Whether it holds for every request, or only for those that name it."] = True
    models: Annotated[Names, "Model names (globs) it holds for."] = ("*",)
    guardrail_id: Annotated[Text | None, "Bedrock: the guardrail's id."] = None
    guardrail_version: Annotated[Text, "Bedrock: its version."] = "DRAFT"
    api_key: Annotated[Text | None, CREDENTIAL, "Credential of the checking service."] = None
    api_base: Annotated[Url | None, "Address of the checking service."] = None
    timeout: Annotated[Duration, "Longest wait for a verdict."] = 10.0
