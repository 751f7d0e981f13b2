"""Addresses and credentials of Vertex AI and the Gemini API; google-genai and the anthropic SDK judge the addresses."""

import json
from collections.abc import Mapping
from typing import Any

import google.genai as genai
import pytest
from anthropic import AnthropicVertex
from google.auth.credentials import AnonymousCredentials

from pllm.core.clock import ManualClock
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.secret import Secret
from pllm.providers.base import HttpRequest
from pllm.providers.google_credentials import GoogleCredentials
from pllm.providers.vertex import GeminiApiProvider, VertexProvider, endpoint
from pllm.wire.lane import WireRequest
from pllm.wire.neutral import UpstreamDialect

GEMINI = WireRequest("models/gemini-x:streamGenerateContent", b"{}", "gemini-x", True, query="alt=sse")
CLAUDE = WireRequest(
    "messages",
    b'{"model":"claude-x@1","max_tokens":5,"messages":[]}',
    "claude-x@1",
    False,
    headers={"anthropic-beta": "b-1"},
)
TOKEN = Secret("ya29.token")
KEY = Secret("AIzaKey")
ANONYMOUS = AnonymousCredentials()  # type: ignore[no-untyped-call]


def deployment(*, model: str = "gemini-x", **fields: Any) -> Deployment:
    settings: dict[str, Any] = {"project": "p1", "location": "us-central1", "api_key": TOKEN, **fields}
    return Deployment("d", "m", "vertex", model, **settings)


async def nobody(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    raise AssertionError("no token endpoint may be asked")


def vertex(environment: Mapping[str, str] | None = None) -> VertexProvider:
    environment = environment or {}
    return VertexProvider(GoogleCredentials(environment, ManualClock(), nobody), environment)


async def prepared(
    to: Deployment,
    call: WireRequest = GEMINI,
    dialect: UpstreamDialect = "gemini",
    environment: Mapping[str, str] | None = None,
) -> HttpRequest:
    return await vertex(environment).prepare(to, call, dialect)


class TestVertexGemini:
    async def test_a_regional_address_with_a_bearer_token(self) -> None:
        request = await prepared(deployment())
        assert request.url == (
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p1/locations/us-central1/"
            "publishers/google/models/gemini-x:streamGenerateContent?alt=sse"
        )
        assert request.headers["authorization"] == "Bearer ya29.token"
        assert request.headers["accept"] == "text/event-stream" and request.body == b"{}"

    @pytest.mark.parametrize("location", ["global", "us", "eu", "us-central1", "europe-west4"])
    def test_hosts_are_google_genais_own(self, location: str) -> None:
        client = genai.Client(vertexai=True, project="p", location=location, credentials=ANONYMOUS)
        assert f"{endpoint(location)}/" == client._api_client._http_options.base_url
        client.close()

    async def test_project_and_location_may_come_from_the_environment(self) -> None:
        environment = {"GOOGLE_CLOUD_PROJECT": "p2", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
        request = await prepared(deployment(project=None, location=None), environment=environment)
        assert "https://europe-west4-aiplatform.googleapis.com/v1/projects/p2/locations/europe-west4/" in request.url
        nowhere = await prepared(deployment(location=None))
        assert nowhere.url.startswith("https://aiplatform.googleapis.com/v1/projects/p1/locations/global/")

    async def test_the_project_of_the_credential_is_used_where_none_is_named(self) -> None:
        credential = Secret(json.dumps({"type": "service_account", "project_id": "p3"}))
        provider = vertex()
        assert provider._project(deployment(project=None, api_key=credential)) == "p3"

    async def test_an_express_key_needs_no_project_and_is_never_in_the_query(self) -> None:
        request = await prepared(deployment(project=None, location=None, api_key=KEY))
        assert request.url == (
            "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-x:streamGenerateContent?alt=sse"
        )
        assert request.headers["x-goog-api-key"] == "AIzaKey"
        assert "authorization" not in request.headers and "AIza" not in request.url

    async def test_a_key_with_a_project_uses_the_projects_address(self) -> None:
        assert "/projects/p1/" in (await prepared(deployment(api_key=KEY))).url

    @pytest.mark.parametrize(
        ("path", "wanted"),
        [
            ("endpoints/123:generateContent", "projects/p1/locations/us-central1/endpoints/123:generateContent"),
            ("projects/9/locations/x/endpoints/1:generateContent", "projects/9/locations/x/endpoints/1:generateContent"),
            (
                "publishers/meta/models/l:generateContent",
                "projects/p1/locations/us-central1/publishers/meta/models/l:generateContent",
            ),
        ],
    )
    async def test_tuned_models_and_endpoints(self, path: str, wanted: str) -> None:
        request = await prepared(deployment(), WireRequest(path, b"{}", "m", False))
        assert request.url == f"https://us-central1-aiplatform.googleapis.com/v1/{wanted}"

    @pytest.mark.parametrize(
        ("api_base", "start"),
        [
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010/v1/projects/p1/"),
            ("http://127.0.0.1:4010/v1beta1", "http://127.0.0.1:4010/v1beta1/projects/p1/"),
            ("https://proxy.example/vertex/", "https://proxy.example/vertex/v1/projects/p1/"),
        ],
    )
    async def test_api_base_takes_the_place_of_the_host(self, api_base: str, start: str) -> None:
        assert (await prepared(deployment(api_base=api_base))).url.startswith(start)

    async def test_another_version_of_the_api(self) -> None:
        assert "googleapis.com/v1beta1/projects" in (await prepared(deployment(api_version="v1beta1"))).url

    async def test_configured_headers_win(self) -> None:
        request = await prepared(deployment(headers={"x-goog-user-project": "billing", "accept": "text/plain"}))
        assert request.headers["x-goog-user-project"] == "billing" and request.headers["accept"] == "text/plain"

    @pytest.mark.parametrize(
        ("fields", "kind", "what"),
        [
            ({"project": None}, ErrorKind.UPSTREAM_UNREACHABLE, "no project"),
            ({"location": "evil.example/#"}, ErrorKind.UPSTREAM_UNREACHABLE, "not the name of a Google Cloud location"),
            ({"api_key": None}, ErrorKind.UPSTREAM_AUTH, "GOOGLE_APPLICATION_CREDENTIALS"),
        ],
    )
    async def test_what_is_missing_is_named(self, fields: dict[str, Any], kind: ErrorKind, what: str) -> None:
        with pytest.raises(GatewayError, match=what) as caught:
            await prepared(deployment(**fields))
        assert caught.value.kind is kind


class TestClaudeOnVertex:
    @pytest.mark.parametrize(("stream", "location"), [(False, "us-east5"), (True, "global"), (False, "eu")])
    async def test_the_address_and_body_are_the_anthropic_sdks(self, stream: bool, location: str) -> None:
        theirs = self.sent_by_the_sdk(stream, location)
        body: JsonObject = {"max_tokens": 5, "messages": [], "model": "claude-x@1", "stream": stream}
        call = WireRequest("messages", json.dumps(body).encode(), "claude-x@1", stream)
        ours = await prepared(deployment(model="claude-x@1", location=location), call, "messages")
        assert ours.url == theirs["url"]
        assert set(json.loads(ours.body)) == set(theirs["body"])

    @staticmethod
    def sent_by_the_sdk(stream: bool, location: str) -> dict[str, Any]:
        client = AnthropicVertex(region=location, project_id="p1", access_token="t")
        options = client._prepare_options(
            _final("/v1/messages", {"model": "claude-x@1", "max_tokens": 5, "messages": [], "stream": stream})
        )
        assert isinstance(options.json_data, dict)
        return {"url": f"{str(client.base_url).rstrip('/')}{options.url}", "body": options.json_data}

    async def test_the_model_leaves_the_body_and_the_version_enters_it(self) -> None:
        request = await prepared(deployment(model="claude-x@1"), CLAUDE, "messages")
        assert request.url.endswith("/publishers/anthropic/models/claude-x@1:rawPredict")
        assert json.loads(request.body) == {"anthropic_version": "vertex-2023-10-16", "max_tokens": 5, "messages": []}
        assert request.headers["anthropic-beta"] == "b-1"

    async def test_counting_tokens_names_the_model_in_the_body(self) -> None:
        call = WireRequest("messages/count_tokens", CLAUDE.body, "claude-x@1", False)
        request = await prepared(deployment(model="claude-x@1"), call, "messages")
        assert request.url.endswith("/publishers/anthropic/models/count-tokens:rawPredict")
        assert json.loads(request.body)["model"] == "claude-x@1"


def _final(url: str, body: JsonObject) -> Any:
    from anthropic._models import FinalRequestOptions

    return FinalRequestOptions.construct(method="post", url=url, json_data=dict(body))


async def test_the_openai_compatible_endpoint_of_vertex() -> None:
    request = await prepared(deployment(), WireRequest("chat/completions", b"{}", "m", False), "chat")
    assert request.url.endswith("/projects/p1/locations/us-central1/endpoints/openapi/chat/completions")


class TestGeminiApi:
    async def test_the_key_travels_in_a_header(self) -> None:
        request = await GeminiApiProvider().prepare(deployment(api_key=KEY), GEMINI, "gemini")
        assert request.url == ("https://generativelanguage.googleapis.com/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
        assert request.headers["x-goog-api-key"] == "AIzaKey"

    async def test_api_base_is_taken_as_given(self) -> None:
        to = deployment(api_key=KEY, api_base="http://127.0.0.1:4010/v1beta")
        request = await GeminiApiProvider().prepare(to, GEMINI, "gemini")
        assert request.url.startswith("http://127.0.0.1:4010/v1beta/models/")

    async def test_its_openai_compatible_endpoint_takes_the_key_as_a_bearer_token(self) -> None:
        call = WireRequest("chat/completions", b"{}", "m", False)
        request = await GeminiApiProvider().prepare(deployment(api_key=KEY), call, "chat")
        assert request.url == "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
        assert request.headers["authorization"] == "Bearer AIzaKey" and "x-goog-api-key" not in request.headers

    async def test_without_a_key_there_is_no_request(self) -> None:
        with pytest.raises(GatewayError) as caught:
            await GeminiApiProvider().prepare(deployment(api_key=None), GEMINI, "gemini")
        assert caught.value.kind is ErrorKind.UPSTREAM_AUTH
