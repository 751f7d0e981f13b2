"""One contract for the calls of health probes that cost nothing: a new row is tested by being there."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest
from tests.support.gateway import providers
from tests.support.upstream import Seen, Upstream, upstream, whole

from pllm.attempt import Upstreams
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.config.schema import HealthProbes
from pllm.core.deployment import Deployment
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.probing import Prober
from pllm.providers.base import HttpRequest, ProviderRow, Timeouts, UpstreamResponse
from pllm.providers.registry import ROWS
from pllm.providers.transport import AiohttpTransport
from pllm.state.counters import Counters
from pllm.state.fleet_reader import FleetReader
from pllm.state.health import Health
from pllm.state.memory import MemoryStore

HEADERS = {
    "bearer": ("authorization", "Bearer sk-upstream"),
    "api-key": ("api-key", "sk-upstream"),
    "x-api-key": ("x-api-key", "sk-upstream"),
    "x-goog-api-key": ("x-goog-api-key", "sk-upstream"),
    "sigv4": ("authorization", "Bearer sk-upstream"),  # a Bedrock API key
    "google": ("x-goog-api-key", "sk-upstream"),
}


@dataclass
class Network:
    """Every address is this machine's one upstream; nothing leaves it. `urls`: what was really asked for."""

    inner: AiohttpTransport
    up: Upstream
    urls: list[str] = field(default_factory=list)

    async def send(self, request: HttpRequest, timeouts: Timeouts) -> UpstreamResponse:
        self.urls.append(request.url)
        here = self.up.base_url + "/" + request.url.split("/", 3)[3]
        return await self.inner.send(replace(request, url=here), timeouts)


@dataclass(frozen=True)
class Asked:
    url: str
    seen: Seen


async def probed(one: Deployment) -> list[Asked]:
    """What is asked for, and what arrives; it must be taken for a good answer."""
    clock, store = ManualClock(), MemoryStore()
    transport = AiohttpTransport(clock)
    async with upstream() as up:
        up.will(whole(b'{"data": [], "totalTokens": 1, "input_tokens": 1}', content_type="application/json; charset=utf-8"))
        network = Network(transport, up)
        health = Health(store, clock, Random(1), BreakerPolicy(), name="p")
        upstreams = Upstreams(providers({}, clock, transport.simple), network, clock, health)
        catalogue, counters = Catalogue({"m": (one,)}), Counters(store, clock, lambda: "p")
        prober = Prober(catalogue, HealthProbes(), upstreams, FleetReader(store, clock), counters, lambda line: None, "f")
        try:
            counts = await prober.run(30)
        finally:
            await transport.close()
        assert counts["ok"] == len(up.requests)
        return [Asked(url, seen) for url, seen in zip(network.urls, up.requests, strict=True)]


def of(row: ProviderRow, api_base: str | None) -> Deployment:
    key = Secret("sk-upstream")
    return Deployment("d", "m", row.name, "org/model x", dialects=row.dialects, api_key=key, api_base=api_base)


@pytest.mark.parametrize("row", [row for row in ROWS if row.checkup is not None], ids=lambda row: row.name)
async def test_it_reaches_the_provider_with_the_deployments_credential(row: ProviderRow) -> None:
    its_own = None if row.base_url or row.kind != "azure" else "https://resource.openai.azure.com"
    (asked,) = await probed(of(row, its_own or (None if row.name != "compatible" else "https://server/v1")))
    name, value = HEADERS[row.auth]
    assert asked.seen.headers[name] == value
    assert row.checkup is not None
    if row.checkup.path:
        assert (asked.seen.method, asked.seen.body) == ("GET", b"")
        path = row.checkup.path.replace("{model}", "org%2Fmodel%20x")
        known = {"azure": f"{its_own}/openai/{path}?api-version=2024-10-21", "compatible": f"https://server/v1/{path}"}
        assert asked.url == known.get(row.name, f"{row.base_url}/{path}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.checkup and row.base_url], ids=lambda row: row.name)
async def test_at_an_address_of_the_operators_own_the_list_is_asked_for(row: ProviderRow) -> None:
    (asked,) = await probed(of(row, "https://proxy/base"))
    assert asked.url == "https://proxy/base/models"


async def test_vertex_counts_the_tokens_of_gemini_and_of_claude() -> None:
    key = Secret("sk-upstream")
    (gemini,) = await probed(Deployment("d", "m", "vertex", "gemini-2.5-flash", ("gemini",), api_key=key))
    home = "https://aiplatform.googleapis.com/v1/publishers"
    assert (gemini.seen.method, gemini.url) == ("POST", f"{home}/google/models/gemini-2.5-flash:countTokens")
    (claude,) = await probed(Deployment("d", "m", "vertex", "claude-haiku-4-5", ("messages",), api_key=key))
    assert (claude.seen.method, claude.url) == ("POST", f"{home}/anthropic/models/count-tokens:rawPredict")
    assert claude.seen.json()["model"] == "claude-haiku-4-5"
    assert "max_tokens" not in claude.seen.json()


async def test_bedrock_counts_the_tokens_of_the_model_behind_a_profile_signed_by_the_functions_role() -> None:
    claude = Deployment("d", "m", "bedrock", "us.anthropic.claude-haiku-4-5-v1:0", ("converse",), region="eu-west-1")
    (asked,) = await probed(claude)
    counting = "model/anthropic.claude-haiku-4-5-v1%3A0/count-tokens"
    assert (asked.seen.method, asked.url) == ("POST", f"https://bedrock-runtime.eu-west-1.amazonaws.com/{counting}")
    assert asked.seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDTEST/")
    assert set(asked.seen.json()["input"]["converse"]) == {"messages"}


async def test_where_nothing_is_free_nothing_is_asked() -> None:
    assert await probed(Deployment("d", "m", "perplexity", "sonar")) == []
    assert await probed(Deployment("d", "m", "vertex", "meta/llama", dialects=("chat",))) == []
