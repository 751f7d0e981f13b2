"""A deployment: one model, at one provider, behind one credential. What routing chooses between and breakers guard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.profile import ModelProfile
from pllm.core.secret import Secret


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """AWS credentials of a deployment's own. The access key id is no secret: AWS prints it in signatures."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One way to have a request answered.

    id: stable over restarts and environments, since shared state is kept under it; it holds no secret.
    model_name: what clients call it. model: what the provider calls it. dialects: what the provider is spoken to in, the
    first being the one that translated requests use. api_base: no trailing slash; None means the provider's own address.
    api_key: a key, or Google's credential (JSON or an access token). aws: Bedrock's keys, in place of the function's role.
    defaults: request fields (OpenAI Chat's spelling) used where the client is silent. timeout_s: for the whole call;
    stream_idle_timeout_s: the longest silence inside a stream.
    """

    id: str
    model_name: str
    provider: str
    model: str
    dialects: tuple[str, ...] = ("chat",)
    api_base: str | None = None
    api_key: Secret | None = None
    aws: AwsKeys | None = None
    api_version: str | None = None
    organization: str | None = None
    region: str | None = None
    project: str | None = None
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    profile: ModelProfile = field(default_factory=ModelProfile)
    timeout_s: float = 600.0
    stream_idle_timeout_s: float = 60.0
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None
    priority: int = 0
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    drop_unsupported: bool = False
