"""Google's two doors to its models: Vertex AI, by project and location, and the Gemini API, by key.

On Vertex, Gemini, Claude (dialect `messages`) and the OpenAI-compatible endpoint (dialect `chat`) stand under different
paths. The credential is a service account's or an external account's JSON, an access token, an API key (express mode, where
no project is named), or what the environment has. A key travels in a header, never in the query.
"""

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import dumps, loads
from pllm.core.secret import Secret
from pllm.providers.base import HttpRequest
from pllm.providers.keyed import common_headers
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.lane import WireRequest

GEMINI_API = "https://generativelanguage.googleapis.com/v1beta"
KEY_HEADER = "x-goog-api-key"
ANTHROPIC_VERSION = "vertex-2023-10-16"

DEFAULT_LOCATION = "global"
_MULTI_REGIONS = frozenset({"us", "eu"})
_LOCATION = re.compile(r"[a-z0-9-]{2,40}")
_VERSION = re.compile(r"/v\d+[a-z0-9]*$")


class Credentials(Protocol):
    """Where access tokens come from; None stands for the environment's own credential."""

    async def token(self, credential: Secret | None) -> str: ...

    def project(self, credential: Secret | None) -> str | None: ...


class GeminiApiProvider:
    """The Gemini API: one address, one key."""

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        if deployment.api_key is None:
            raise GatewayError(ErrorKind.UPSTREAM_AUTH, "No credential is configured for the Gemini API.")
        base = (deployment.api_base or GEMINI_API).rstrip("/")
        # The OpenAI-compatible endpoint of the Gemini API wants the key as a bearer token.
        key = deployment.api_key.reveal()
        credential = {"authorization": f"Bearer {key}"} if dialect == "chat" else {KEY_HEADER: key}
        path = f"openai/{call.path}" if dialect == "chat" else call.path
        headers = {**common_headers(call), **call.headers, **credential, **deployment.headers}
        return HttpRequest(_with_query(f"{base}/{path}", call), headers, call.body)


class VertexProvider:
    """Vertex AI. `environment` gives project and location where the deployment names none."""

    def __init__(self, credentials: Credentials, environment: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._environment = environment

    async def prepare(self, deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> HttpRequest:
        """Raises GatewayError UPSTREAM_AUTH without a credential, UPSTREAM_UNREACHABLE without a project or location."""
        location = self._location(deployment)
        path = _path(deployment, call, dialect)
        express = is_api_key(deployment.api_key)
        if not path.startswith("projects/") and not (express and deployment.project is None):
            path = f"projects/{quote(self._project(deployment), safe=':')}/locations/{location}/{path}"
        url = _with_query(f"{_base(deployment, location)}/{path}", call)
        headers = {**common_headers(call), **call.headers, **await self._credential(deployment, express), **deployment.headers}
        body = claude_body(call) if dialect == "messages" else call.body
        return HttpRequest(url, headers, body)

    async def _credential(self, deployment: Deployment, express: bool) -> dict[str, str]:
        if express and deployment.api_key is not None:
            return {KEY_HEADER: deployment.api_key.reveal()}
        return {"authorization": f"Bearer {await self._credentials.token(deployment.api_key)}"}

    def _project(self, deployment: Deployment) -> str:
        named = deployment.project or self._environment.get("GOOGLE_CLOUD_PROJECT") or self._environment.get("VERTEX_PROJECT")
        if not named and not is_api_key(deployment.api_key):
            named = self._credentials.project(deployment.api_key)
        if not named:
            what = f"Deployment {deployment.id!r} has no project: set params.project or GOOGLE_CLOUD_PROJECT."
            raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, what)
        return named

    def _location(self, deployment: Deployment) -> str:
        named = deployment.location or deployment.region
        named = named or self._environment.get("GOOGLE_CLOUD_LOCATION") or self._environment.get("VERTEX_LOCATION")
        location = named or DEFAULT_LOCATION
        if not _LOCATION.fullmatch(location):
            what = f"Deployment {deployment.id!r}: {location!r} is not the name of a Google Cloud location."
            raise GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, what)
        return location


def is_api_key(credential: Secret | None) -> bool:
    """Whether it is a key, and not a credential's JSON or an access token (which begins "ya29.")."""
    return credential is not None and not credential.reveal().lstrip().startswith(("{", "ya29."))


def endpoint(location: str) -> str:
    """Vertex AI's own address for a region, a multi-region or `global`."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def claude_body(call: WireRequest) -> bytes:
    """A Messages body as Vertex takes it: the model is in the path and the version in the body."""
    body = loads(call.body)
    if not isinstance(body, dict):
        raise GatewayError(ErrorKind.INTERNAL, "A Messages request is not a JSON object.")
    if not _counts_tokens(call):
        body.pop("model", None)
    return dumps({"anthropic_version": ANTHROPIC_VERSION, **body})


def _base(deployment: Deployment, location: str) -> str:
    base = (deployment.api_base or endpoint(location)).rstrip("/")
    return base if _VERSION.search(base) else f"{base}/{deployment.api_version or 'v1'}"


def _path(deployment: Deployment, call: WireRequest, dialect: UpstreamDialect) -> str:
    if dialect == "messages":
        model = "count-tokens" if _counts_tokens(call) else quote(deployment.model, safe="@")
        return f"publishers/anthropic/models/{model}:{'streamRawPredict' if call.stream else 'rawPredict'}"
    if dialect == "chat":
        return f"endpoints/openapi/{call.path}"
    return f"publishers/google/{call.path}" if call.path.startswith("models/") else call.path


def _counts_tokens(call: WireRequest) -> bool:
    return call.path.endswith("count_tokens")


def _with_query(url: str, call: WireRequest) -> str:
    return f"{url}?{call.query}" if call.query else url
