"""The example of the multi-provider page, whole and as it is printed: every line of it changes what happens."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.gateway import RealClock, providers

from pllm.attempt import Upstreams
from pllm.call import Call, Reply
from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.config import resolve
from pllm.core.config.loader import LoadedConfig, load
from pllm.core.errors import GatewayError
from pllm.core.plan import RoutingPolicy
from pllm.core.profile import ModelProfile
from pllm.core.record import RequestRecord
from pllm.core.rota import Rota
from pllm.pipeline import Pipeline
from pllm.providers.base import HttpRequest, Timeouts
from pllm.providers.deployments import build
from pllm.providers.registry import Registry
from pllm.state.health import Health
from pllm.state.memory import MemoryStore

PAGE = (Path(__file__).parent / "data" / "seed.yaml").read_text()
KEYS = {"OPENAI_API_KEY": "sk-openai", "AZURE_API_KEY": "azure-key", "OPENROUTER_API_KEY": "sk-or"}
SONNET, TURBO = "anthropic/claude-3-sonnet", "openai/gpt-4-turbo"
OPENAI, AZURE, OPENROUTER = "api.openai.com", "my-azure-endpoint.openai.azure.com", "openrouter.ai"

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
DOWN = (500, {"error": {"message": "down"}})
TOO_LONG = (400, {"error": {"message": "too long", "code": "context_length_exceeded"}})


@dataclass
class Answered:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})

    async def chunks(self) -> AsyncGenerator[bytes]:
        yield self.body

    async def read(self) -> bytes:
        return self.body

    async def close(self) -> None:
        return


@dataclass
class Internet:
    """All providers at once. `answers`: what a provider's model says, where it is not simply an answer."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest, timeouts: Timeouts) -> Answered:
        self.asked.append(request)
        status, body = self.answers.get(json.loads(request.body)["model"], (200, ANSWER))
        return Answered(status, json.dumps(body).encode())

    @property
    def models(self) -> list[str]:
        """What the providers were asked for, in order."""
        return [json.loads(request.body)["model"] for request in self.asked]


@dataclass
class Page:
    """The gateway that a configuration makes, in front of the whole internet."""

    loaded: LoadedConfig
    pipeline: Pipeline
    health: Health
    net: Internet

    async def ask(self, model: str) -> Reply:
        record = RequestRecord("r", "chat", 0.0)
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        try:
            return await self.pipeline.run(Call("chat", model, body, False, record))
        finally:
            await self.health.settle()

    async def served_by(self, model: str) -> str:
        return str((await self.ask(model)).headers["x-pllm-deployment"])


def page(text: str = PAGE, environment: Mapping[str, str] = KEYS) -> Page:
    loaded, net, clock, random = load(text, "seed.yaml"), Internet(), RealClock(), Random(1)
    config = resolve(loaded.config, environment.get).config
    built = build(config, Registry(), environment, lambda provider, model: ModelProfile())
    health = Health(MemoryStore(), clock, random, BreakerPolicy.of(config.router), name="seed")

    async def offline(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        raise AssertionError(url)

    upstreams = Upstreams(providers(environment, clock, offline), net, clock, health)
    pipeline = Pipeline(built.catalogue, upstreams, random, Rota(random), RoutingPolicy.of(config.router), sleep=_no_pause)
    return Page(loaded, pipeline, health, net)


async def _no_pause(seconds: float) -> None:
    return


def without(line: str, text: str = PAGE) -> str:
    assert line in text
    return text.replace(line, "")


def changed(line: str, into: str, text: str = PAGE) -> str:
    assert line in text
    return text.replace(line, into)


# --- model_list: what users call ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "name", "host", "model", "header", "key"),
    [
        (
            "- model_name: my-gpt-4\n    params:\n      model: gpt-4\n",
            "my-gpt-4",
            OPENAI,
            "gpt-4",
            "authorization",
            "sk-openai",
        ),
        ("model: gpt-3.5-turbo\n", "my-gpt-35-turbo", OPENAI, "gpt-3.5-turbo", "authorization", "sk-openai"),
        ("model: azure/my-deployment-name\n", "azure-gpt-4", AZURE, "my-deployment-name", "api-key", "azure-key"),
        ("model: openai/gpt-4-turbo\n", "openrouter-gpt-4", OPENROUTER, "openai/gpt-4-turbo", "authorization", "sk-or"),
        (
            "model: anthropic/claude-3-sonnet\n",
            "openrouter-claude",
            OPENROUTER,
            "anthropic/claude-3-sonnet",
            "authorization",
            "sk-or",
        ),
        ("- model_name: fast-gpt\n", "fast-gpt", OPENAI, "gpt-3.5-turbo", "authorization", "sk-openai"),
    ],
)
async def test_each_model_reaches_its_provider_under_its_name_there_with_its_key(
    lines: str, name: str, host: str, model: str, header: str, key: str
) -> None:
    assert lines in PAGE
    here = page()
    await here.ask(name)
    (sent,) = here.net.asked
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert host in sent.url
    assert here.net.models == [model]
    assert headers[header].removeprefix("Bearer ") == key


async def test_api_version_2024_02_15_preview() -> None:
    here = page()
    await here.ask("azure-gpt-4")
    assert "/openai/deployments/my-deployment-name/" in here.net.asked[0].url
    assert here.net.asked[0].url.endswith("?api-version=2024-02-15-preview")
    other = page(changed("api_version: 2024-02-15-preview", "api_version: 2025-01-01"))
    await other.ask("azure-gpt-4")
    assert other.net.asked[0].url.endswith("?api-version=2025-01-01")


@pytest.mark.parametrize(("variable", "name"), [("OPENAI_API_KEY", "fast-gpt"), ("AZURE_API_KEY", "azure-gpt-4")])
async def test_a_key_that_is_not_set_disables_its_models_and_is_never_sent_literally(variable: str, name: str) -> None:
    assert f"api_key: ${{{variable}}}" in PAGE
    here = page(environment={key: value for key, value in KEYS.items() if key != variable})
    with pytest.raises(GatewayError) as error:
        await here.ask(name)
    assert error.value.status == 503
    assert here.net.asked == []


@pytest.mark.parametrize(
    ("lines", "name", "rpm", "tpm"),
    [
        ("    rpm: 200\n    tpm: 50000\n", "openrouter-gpt-4", 200, 50_000),
        ("    rpm: 500      # requests per minute\n    tpm: 100000   # tokens per minute\n", "fast-gpt", 500, 100_000),
    ],
)
def test_rpm_and_tpm_are_the_deployments(lines: str, name: str, rpm: int, tpm: int) -> None:
    (limited,) = page().pipeline.catalogue.models[name]
    (free,) = page(without(lines)).pipeline.catalogue.models[name]
    assert (limited.rpm, limited.tpm) == (rpm, tpm)
    assert (free.rpm, free.tpm) == (None, None)


# --- model_aliases --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "alias", "models"),
    [
        (
            '  smart: ["my-gpt-4", "azure-gpt-4", "openrouter-gpt-4"]\n',
            "smart",
            {"gpt-4", "my-deployment-name", "openai/gpt-4-turbo"},
        ),
        ('  fast: ["my-gpt-35-turbo"]\n', "fast", {"gpt-3.5-turbo"}),
        ('  claude: ["openrouter-claude"]\n', "claude", {"anthropic/claude-3-sonnet"}),
        (
            '  openrouter: ["openrouter-gpt-4", "openrouter-claude"]\n',
            "openrouter",
            {"openai/gpt-4-turbo", "anthropic/claude-3-sonnet"},
        ),
    ],
)
async def test_an_alias_reaches_its_models_and_each_of_them_when_the_others_fail(
    line: str, alias: str, models: set[str]
) -> None:
    here = page()
    assert alias in here.pipeline.catalogue.names()
    for alive in models:
        here = page()
        here.net.answers = dict.fromkeys(models - {alive}, DOWN)
        await here.ask(alias)
        assert here.net.models[-1] == alive
    with pytest.raises(GatewayError) as error:
        await page(without(line)).ask(alias)
    assert error.value.status == 404


# --- router ---------------------------------------------------------------------------------------------------------

STRATEGY = 'routing_strategy: "latency-based"  # or "priority", "round-robin"'


async def test_routing_strategy_latency_based_or_priority_or_round_robin() -> None:
    fastest = page()
    (azure,) = fastest.pipeline.catalogue.models["azure-gpt-4"]
    for name, latency_ms in (("my-gpt-4", 900), ("azure-gpt-4", 100), ("openrouter-gpt-4", 500)):
        (one,) = fastest.pipeline.catalogue.models[name]
        for _ in range(20):
            fastest.health.observe(one.id).succeeded(latency_ms)
    (decided,) = {await fastest.served_by("smart")}
    assert decided == azure.id
    in_order = page(changed(STRATEGY, "routing_strategy: priority"))
    assert {(await in_order.served_by("smart")).split("@")[0] for _ in range(6)} == {"my-gpt-4"}
    in_turn = page(changed(STRATEGY, "routing_strategy: round-robin"))
    turns = [(await in_turn.served_by("smart")).split("@")[0] for _ in range(6)]
    assert sorted(turns[:3]) == sorted(turns[3:]) == ["azure-gpt-4", "my-gpt-4", "openrouter-gpt-4"]


@pytest.mark.parametrize(("line", "asked"), [("circuit_breaker_enabled: true", 5), ("circuit_breaker_enabled: false", 12)])
async def test_circuit_breaker_enabled(line: str, asked: int) -> None:
    here = page(changed("circuit_breaker_enabled: true", f"{line}\n  retries: 0"))
    here.net.answers["anthropic/claude-3-sonnet"] = DOWN
    for _ in range(12):
        with pytest.raises(GatewayError):
            await here.ask("openrouter-claude")
    assert len(here.net.asked) == asked


async def test_fallbacks_my_gpt_4_to_my_gpt_35_turbo() -> None:
    line = '    my-gpt-4: ["my-gpt-35-turbo"]\n'
    here = page()
    here.net.answers["gpt-4"] = DOWN
    assert (await here.served_by("my-gpt-4")).startswith("my-gpt-35-turbo@")
    alone = page(without(line))
    alone.net.answers["gpt-4"] = DOWN
    with pytest.raises(GatewayError):
        await alone.ask("my-gpt-4")


LONGER = """
  - model_name: my-gpt-35-turbo-16k
    params: {model: gpt-3.5-turbo-16k, api_key: "${OPENAI_API_KEY}"}
  - model_name: my-gpt-4-32k
    params: {model: gpt-4-32k, api_key: "${OPENAI_API_KEY}"}

model_aliases:
"""


def test_the_page_names_models_that_it_does_not_define_and_is_told_so() -> None:
    said = [str(warning) for warning in page().loaded.warnings]
    assert sum("unknown model 'my-gpt-35-turbo-16k'" in line for line in said) == 2
    assert sum("unknown model 'my-gpt-4-32k'" in line for line in said) == 1


async def test_fallbacks_my_gpt_35_turbo_to_my_gpt_35_turbo_16k_once_that_is_defined() -> None:
    assert '    my-gpt-35-turbo: ["my-gpt-35-turbo-16k"]\n' in PAGE
    here = page(changed("\nmodel_aliases:\n", LONGER))
    here.net.answers |= {"gpt-4": DOWN, "gpt-3.5-turbo": DOWN}
    assert (await here.served_by("my-gpt-4")).startswith("my-gpt-35-turbo-16k@")


@pytest.mark.parametrize(
    ("line", "name", "model", "longer"),
    [
        ('    my-gpt-35-turbo: ["my-gpt-35-turbo-16k"]\n', "my-gpt-35-turbo", "gpt-3.5-turbo", "gpt-3.5-turbo-16k"),
        ('    my-gpt-4: ["my-gpt-4-32k"]', "my-gpt-4", "gpt-4", "gpt-4-32k"),
    ],
)
async def test_context_window_fallbacks(line: str, name: str, model: str, longer: str) -> None:
    head, window = changed("\nmodel_aliases:\n", LONGER).split("  context_window_fallbacks:\n")
    here = page(f"{head}  context_window_fallbacks:\n{window}")
    here.net.answers[model] = TOO_LONG
    await here.ask(name)
    assert here.net.models == [model, longer]
    alone = page(f"{head}  context_window_fallbacks:\n{without(line, window)}")
    alone.net.answers[model] = TOO_LONG
    with pytest.raises(GatewayError) as error:
        await alone.ask(name)
    assert error.value.status == 400


# --- Environment variables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("openai/gpt-4", ("OPENAI_API_KEY", "OPENAI_API_KEY_1", "OPENAI_API_KEY_2")),
        ("anthropic/claude-3-haiku", ("ANTHROPIC_API_KEY_1",)),
        ("groq/llama-3", ("GROQ_API_KEY_1",)),
        ("mistral/mistral-large", ("MISTRAL_API_KEY_1",)),
    ],
)
def test_numbered_keys_are_deployments_of_their_own(provider: str, variables: tuple[str, ...]) -> None:
    text = f"model_list:\n  - model_name: m\n    params: {{model: {provider}}}\n"
    here = page(text, {name: f"key-of-{name}" for name in variables})
    deployments = here.pipeline.catalogue.models["m"]
    assert [one.api_key.reveal() for one in deployments if one.api_key] == [f"key-of-{name}" for name in variables]
    assert len({one.id for one in deployments}) == len(variables)


def test_azure_api_key_east() -> None:
    entry = "{model: azure/d, api_base: 'https://x.openai.azure.com'}"
    here = page(f"model_list:\n  - {{model_name: m, params: {entry}}}\n", {"AZURE_API_KEY_EAST": "east"})
    assert [one.id for one in here.pipeline.catalogue.models["m"]] == ["m@azure/d@x.openai.azure.com#east"]


async def test_openrouter_http_referer_and_x_title() -> None:
    here = page(environment=KEYS | {"OPENROUTER_HTTP_REFERER": "http://localhost:8080", "OPENROUTER_X_TITLE": "PLLM Gateway"})
    await here.ask("claude")
    headers = {name.lower(): value for name, value in here.net.asked[0].headers.items()}
    assert headers["http-referer"] == "http://localhost:8080"
    assert "PLLM Gateway" in (headers.get("x-title"), headers.get("x-openrouter-title"))
