"""The JSON of the control plane: what is asked of it and what it answers."""

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, model_validator

from pllm.core.key_rules import LONGEST_GRACE_S
from pllm.core.keys import KeyStatus
from pllm.core.limits import Period
from pllm.core.principal import SCOPES, Role

Count = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Version = Annotated[
    int | None, Field(description="The version last read. With it, a change made meanwhile by others is a 409.")
]

_SCOPES_TEXT = f"What it may call: {', '.join(SCOPES)}; `*` for all."


class Asked(BaseModel):
    """A request body: an unknown field is refused, and the nearest one is named."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        for name in value if isinstance(value, Mapping) else ():
            if name not in cls.model_fields:
                near = get_close_matches(str(name), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(cls.model_fields)}."
                raise ValueError(f"unknown field {str(name)[:64]!r}; {hint}")
        return value


class BudgetBody(Asked):
    """Money that may be spent in a period."""

    amount_usd: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, description="USD, to the millionth.")]
    period: Annotated[Period, Field(description="When it starts anew; `total` never does.")] = "month"
    timezone: Annotated[str, Field(description="IANA name of the zone in which a period begins.")] = "UTC"


class Allowed(Asked):
    """Limits; what is not given is left to the configuration."""

    rpm: Annotated[Count | None, Field(description="Requests a minute.")] = None
    tpm: Annotated[Count | None, Field(description="Tokens a minute, prompt and answer together.")] = None
    max_parallel: Annotated[Count | None, Field(description="Calls in flight.")] = None
    sliding: Annotated[Flag, Field(description="Weigh the minute before in.")] = False
    budget: BudgetBody | None = None


class KeyCreate(Allowed):
    """A new key."""

    name: Annotated[str, Field(description="What people call it; the configuration's limits go by it.")]
    team: Annotated[str | None, Field(description="Id of the team it belongs to.")] = None
    models: Annotated[list[str], Field(description="Model names (globs) it may use.")] = ["*"]
    scopes: Annotated[list[str], Field(description=_SCOPES_TEXT)] = ["*"]
    role: Annotated[Role, Field(description="admin: everything. user: the data plane. viewer: may look.")] = "user"
    expires_at: Annotated[AwareDatetime | None, Field(description="RFC 3339, with its offset.")] = None
    metadata: dict[str, str] = {}
    tags: list[str] = []


class KeyPatch(Allowed):
    """A change of a key: what is not given stays, `null` takes away."""

    name: str = ""
    team: str | None = None
    models: list[str] = ["*"]
    scopes: Annotated[list[str], Field(description=_SCOPES_TEXT)] = ["*"]
    role: Role = "user"
    expires_at: AwareDatetime | None = None
    metadata: dict[str, str] = {}
    tags: list[str] = []
    version: Version = None


class TeamCreate(Allowed):
    """A new team."""

    id: Annotated[str, Field(description="How keys, tokens and the configuration name it. It never changes.")]
    name: Annotated[str, Field(description="What people call it. Default: the id.")] = ""
    models: Annotated[list[str], Field(description="Model names (globs) that its keys may use.")] = ["*"]
    metadata: dict[str, str] = {}
    tags: list[str] = []


class TeamPatch(Allowed):
    """A change of a team: what is not given stays, `null` takes away."""

    name: str = ""
    models: list[str] = ["*"]
    metadata: dict[str, str] = {}
    tags: list[str] = []
    version: Version = None


class Rotation(Asked):
    """A new secret for the same key."""

    grace_seconds: Annotated[
        Count, Field(ge=0, le=LONGEST_GRACE_S, description="How much longer the present secret works.")
    ] = 24 * 3600
    version: Version = None


class Versioned(Asked):
    """Nothing but the version that is to be changed."""

    version: Version = None


class ConfigText(Asked):
    """A configuration to be checked."""

    text: Annotated[str, Field(description="YAML or JSON.")]
    filename: Annotated[str, Field(description="What problems are said to be in.", max_length=200)] = "config.yaml"


# --- Answers -------------------------------------------------------------------------------------------------------


class BudgetView(BaseModel):
    amount_usd: float
    period: Period
    timezone: str


class _Limited(BaseModel):
    rpm: int | None
    tpm: int | None
    max_parallel: int | None
    sliding: bool
    budget: BudgetView | None


class KeyView(_Limited):
    """A key, without its secret."""

    id: str
    name: str
    team: str | None
    role: Role
    status: KeyStatus
    models: list[str]
    scopes: list[str]
    expires_at: datetime | None
    metadata: dict[str, str]
    tags: list[str]
    created_at: datetime
    created_by: str
    version: int
    previous_valid_until: datetime | None


class NewKeyView(KeyView):
    """A key with its secret, which is shown this once."""

    key: str


class TeamView(_Limited):
    id: str
    name: str
    models: list[str]
    metadata: dict[str, str]
    tags: list[str]
    keys: int
    created_at: datetime
    created_by: str
    version: int


class KeyPage(BaseModel):
    """`next` is the `after` of the page that follows, null on the last one."""

    object: Literal["list"] = "list"
    data: list[KeyView]
    next: str | None


class TeamPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[TeamView]


class AuditView(BaseModel):
    """`before` and `after` are what was shown of the key, team, breaker or version; null where there was, or is, nothing."""

    id: str
    at: datetime
    who: str
    what: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(BaseModel):
    """The newest first. `next` is the `before` of the page that follows, null on the last one."""

    object: Literal["list"] = "list"
    data: list[AuditView]
    next: str | None


class Deleted(BaseModel):
    id: str
    deleted: Literal[True] = True


class WhoView(BaseModel):
    """Whose credential this is."""

    id: str
    name: str
    role: Role
    team: str | None


class ProblemView(BaseModel):
    """`line` and `column` count from 1, 0 where there is no text behind it."""

    file: str
    line: int
    column: int
    path: str
    severity: Literal["error", "warning"]
    message: str
    suggestion: str


class ConfigView(BaseModel):
    """The configuration in use: `version` 0 is the one the functions were deployed with. `not_served`: models that are
    configured and answer nobody, for a reason that /api/admin/models gives."""

    version: int
    etag: str
    source: str
    models: int
    deployments: int
    not_served: list[str]
    warnings: list[ProblemView]


class CheckView(BaseModel):
    """`etag` names the content, null where it is refused; equal to that of the configuration in use when they are the same."""

    valid: bool
    etag: str | None
    problems: list[ProblemView]


class DeploymentView(BaseModel):
    """`credential` tells two credentials apart and gives neither away."""

    id: str
    provider: str
    model: str
    dialects: list[str]
    api_base: str | None
    region: str | None
    credential: str | None
    priority: int
    weight: float
    rpm: int | None
    tpm: int | None
    max_parallel: int | None
    timeout_s: float
    tags: list[str]


class ModelView(BaseModel):
    """`problem` says why a configured model is not served."""

    name: str
    aliases: list[str]
    deployments: list[DeploymentView]
    problem: str | None


class ModelPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelView]


class RouteModelView(BaseModel):
    model_name: str
    weight: float
    priority: int | None


class RouteView(BaseModel):
    slug: str
    name: str | None
    description: str | None
    strategy: str
    models: list[RouteModelView]
    fallback_models: list[str]
    enabled: bool


class RoutesView(BaseModel):
    """How a name becomes deployments."""

    strategy: str
    retries: int
    routes: list[RouteView]
    aliases: dict[str, list[str]]
    fallbacks: dict[str, list[str]]
    context_window_fallbacks: dict[str, list[str]]
    content_policy_fallbacks: dict[str, list[str]]
