"""One contract for the calls of health probes that cost nothing: a new row is tested by being there."""

from random import Random

import pytest
from tests.support.gateway import deployment, providers
from tests.support.upstream import Seen, upstream, whole

from pllm.attempt import Upstreams
from pllm.core.breaker import BreakerPolicy
from pllm.core.clock import ManualClock
from pllm.core.config.schema import HealthProbes
from pllm.core.deployment import Deployment
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.probing import Prober
from pllm.providers.base import ProviderRow
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
    "google": ("x-goog-api-key", "sk-upstream"),
}


async def probed(one: Deployment) -> list[Seen]:
    """What reaches the upstream; it must be taken for a good answer."""
    clock, store = ManualClock(), MemoryStore()
    transport = AiohttpTransport(clock)
    async with upstream() as up:
        up.will(whole(b'{"data": [], "totalTokens": 1, "input_tokens": 1}', content_type="application/json; charset=utf-8"))
        base = up.base_url if one.provider in ("azure", "vertex") else f"{up.base_url}/base"
        one = deployment(up.base_url, provider=one.provider, dialects=one.dialects, model=one.model, api_base=base)
        health = Health(store, clock, Random(1), BreakerPolicy(), name="p")
        upstreams = Upstreams(providers({}, clock, transport.simple), transport, clock, health)
        catalogue, counters = Catalogue({"m": (one,)}), Counters(store, clock, lambda: "p")
        prober = Prober(catalogue, HealthProbes(), upstreams, FleetReader(store, clock), counters, lambda line: None, "f")
        try:
            counts = await prober.run(30)
        finally:
            await transport.close()
        assert counts["ok"] == len(up.requests)
        return up.requests


@pytest.mark.parametrize("row", [row for row in ROWS if row.checkup is not None], ids=lambda row: row.name)
async def test_it_reaches_the_provider_with_the_deployments_credential(row: ProviderRow) -> None:
    (seen,) = await probed(Deployment("d", "m", row.name, "org/model x", dialects=row.dialects, api_key=Secret("sk-upstream")))
    name, value = HEADERS[row.auth]
    assert seen.headers[name] == value
    assert row.checkup is not None
    if row.checkup.path:
        assert (seen.method, seen.body) == ("GET", b"")
        path = row.checkup.path.replace("{model}", "org%2Fmodel%20x")
        assert seen.path == (f"/openai/{path}?api-version=2024-10-21" if row.name == "azure" else f"/base/{path}")


async def test_vertex_counts_the_tokens_of_gemini_and_of_claude() -> None:
    (gemini,) = await probed(Deployment("d", "m", "vertex", "gemini-2.5-flash", dialects=("gemini",)))
    assert (gemini.method, gemini.path) == ("POST", "/v1/publishers/google/models/gemini-2.5-flash:countTokens")
    (claude,) = await probed(Deployment("d", "m", "vertex", "claude-haiku-4-5", dialects=("messages",)))
    assert (claude.method, claude.path) == ("POST", "/v1/publishers/anthropic/models/count-tokens:rawPredict")
    assert claude.json()["model"] == "claude-haiku-4-5"
    assert "max_tokens" not in claude.json()


async def test_where_nothing_is_free_nothing_is_asked() -> None:
    assert await probed(Deployment("d", "m", "bedrock", "us.amazon.nova-2-lite-v1:0", dialects=("converse",))) == []
    assert await probed(Deployment("d", "m", "perplexity", "sonar")) == []
    assert await probed(Deployment("d", "m", "vertex", "meta/llama", dialects=("chat",))) == []
