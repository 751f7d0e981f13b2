"""The control plane built by hand around a table, with its clock and log lines in the test's hands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx2
from tests.support.door import MASTER_KEY
from tests.support.key_service import KeyService, key_service
from tests.support.versions import history_of

from pllm.admin.app import admin_app
from pllm.admin.services import AdminServices, ConfigDesk, Kept, LimitDesk, Running, Scope
from pllm.core.allowances import Allowances
from pllm.core.config import CompiledConfig, Config, ConfigProblem, compile_config, etag_of, load_compiled
from pllm.core.config.loader import LoadedConfig, load
from pllm.core.deployment import Deployment
from pllm.core.principal import Principal
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.edge.auth import Authenticator, Identities
from pllm.edge.http import HttpRequest
from pllm.live import App
from pllm.providers.outlook import outlook
from pllm.providers.registry import Registry
from pllm.state.fleet_reader import FleetReader
from pllm.state.gate import Gates
from pllm.state.key_reader import KeyReader
from pllm.state.memory import MemoryStore
from pllm.state.store import TransactionalStore
from pllm.state.usage_reader import UsageReader

SCRAPE_TOKEN = "scrape-me"

CONFIG = """
model_list:
  - {model_name: gpt-4o, params: {model: gpt-4o, api_key: "${OPENAI_API_KEY}"}, rpm: 100, tags: [fast]}
  - {model_name: claude, params: {model: anthropic/claude, api_key: "${ANTHROPIC_API_KEY}"}}
model_aliases: {best: [gpt-4o, claude]}
routes:
  - {slug: smart, models: [{model_name: gpt-4o, weight: 3}, claude], fallback_models: [claude]}
router: {retries: 3, fallbacks: {gpt-4o: [claude]}}
limits: {models: {gpt-4o: {tpm: 50000}}, keys: {batch: {rpm: 7}}}
budgets: {teams: {search: {amount: 20, period: week, timezone: Europe/Berlin}}}
"""

DEPLOYED = """
model_list: [{model_name: deployed, params: {model: gpt-4o, api_key: sk-literal-0123456789}}]
"""


@dataclass
class Control:
    """`client` has the master key; `app` is what it asks."""

    app: App
    client: httpx2.AsyncClient
    service: KeyService
    lines: list[dict[str, Any]]

    async def asked(self, method: str, path: str, key: str = MASTER_KEY, **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {"authorization": ""}
        return await self.client.request(method, path, headers=headers, **options)

    async def done(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer that must be a success."""
        response = await self.asked(method, path, **options)
        assert response.is_success, response.text
        return response.json()

    async def refused(self, method: str, path: str, **options: Any) -> tuple[int, str | None, str]:
        """(status, param, message) of an answer that must be an error in OpenAI's shape."""
        response = await self.asked(method, path, **options)
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return response.status_code, error["param"], error["message"]


def running() -> Running:
    loaded: LoadedConfig = load(CONFIG)
    key = Secret("sk-upstream-secret")
    deployment = Deployment("gpt-4o@openai/gpt-4o", "gpt-4o", "openai", "gpt-4o", api_key=key, rpm=100, tags=("fast",))
    catalogue = Catalogue({"gpt-4o": (deployment,)}, dict(loaded.config.model_aliases), {"claude": "no credential was found."})
    return Running(loaded.config, catalogue, etag_of(loaded.config), "config.yaml", 4, loaded.warnings)


def gates_of(store: TransactionalStore, service: KeyService) -> Gates:
    return Gates(store, service.clock, Random(6))


def allowances() -> Allowances:
    config = running().config
    return Allowances(config.limits, config.budgets, 4)


async def looked_out(config: Config, file: str) -> tuple[ConfigProblem, ...]:
    """What an environment with one provider's key would warn of."""
    return outlook(config, {"SET": "yes", "OPENAI_API_KEY": "sk-upstream-secret"}, Registry(), file)


@asynccontextmanager
async def control(
    store: TransactionalStore | None = None,
    *,
    table: bool = True,
    missing: tuple[str, ...] = (),
    deployed: CompiledConfig | None = None,
) -> AsyncIterator[Control]:
    store = store or MemoryStore()
    service = key_service(store)
    lines: list[dict[str, Any]] = []
    reader = KeyReader(store, service.clock, Random(5))
    door = Authenticator(Secret(MASTER_KEY), Identities(service.clock, reader))

    async def authenticate(scope: Scope) -> Principal:
        return await door.authenticate(HttpRequest(scope, _nothing))

    kept = Kept(service.keys, service.teams, service.audit) if table else None
    services = AdminServices(
        authenticate,
        running(),
        service.clock,
        lambda: "req-1",
        lines.append,
        looked_out,
        kept,
        Secret(SCRAPE_TOKEN),
        missing,
        usage=UsageReader(store, service.clock) if table else None,
        fleet=FleetReader(store, service.clock) if table else None,
        breakers=service.breakers if table else None,
        limits=LimitDesk(gates_of(store, service), allowances()) if table else None,
        configs=ConfigDesk(history_of(store, service.clock), deployed or load_compiled(compile_config(load(DEPLOYED).config)))
        if table
        else None,
    )
    app = admin_app(services)
    inner = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=inner, base_url="http://control") as client:
        yield Control(app, client, service, lines)


async def _nothing() -> Any:
    raise AssertionError("the body is not looked at for a credential")
