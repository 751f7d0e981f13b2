"""The data plane's front door with rooms that only say who came in: for tests of authentication."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import httpx2

from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import IamPrincipal, OidcIssuer
from pllm.core.deployment import Deployment
from pllm.core.jsontext import dumps
from pllm.core.routing import Catalogue
from pllm.core.secret import Secret
from pllm.edge.app import Edge, Gateway
from pllm.edge.auth import Authenticator, Identities
from pllm.edge.exchange import Exchange
from pllm.edge.generation import permit
from pllm.edge.models import Models
from pllm.edge.oidc import TokenVerifier
from pllm.providers.base import SimpleHttp
from pllm.state.key_reader import KeyReader
from pllm.state.store import Store

MASTER_KEY = "sk-test-master"
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet")


@dataclass
class Door:
    """`event` is what API Gateway says of the next request; `http` whom the gateway may ask for signing keys."""

    client: httpx2.AsyncClient
    lines: list[dict[str, Any]]
    event: dict[str, Any] = field(default_factory=dict)

    async def who(self, key: str, **headers: str) -> dict[str, Any]:
        """The principal that a key leads to."""
        response = await self.get("/v1/embeddings/who", key, **headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def get(self, path: str, key: str = "", **headers: str) -> httpx2.Response:
        bearer = {"authorization": f"Bearer {key}"} if key else {}
        return await self.client.get(path, headers={**bearer, **headers})

    async def status(self, key: str, path: str = "/v1/models") -> int:
        return (await self.get(path, key)).status_code


async def _who(exchange: Exchange) -> None:
    await exchange.answer_json(dumps(asdict(exchange.principal)))


async def _chat(exchange: Exchange) -> None:
    body = await exchange.request.json_object()
    permit(exchange, body["model"])
    await exchange.answer_json(dumps({"model": body["model"]}))


@asynccontextmanager
async def door(
    store: Store | None = None,
    *,
    clock: ManualClock | None = None,
    issuers: Sequence[OidcIssuer] = (),
    http: SimpleHttp | None = None,
    roles: Sequence[IamPrincipal] = (),
    allowances: Allowances | None = None,
) -> AsyncIterator[Door]:
    clock = clock or ManualClock()
    lines: list[dict[str, Any]] = []
    deployments = {name: (Deployment(f"{name}/1", name, "openai", name),) for name in MODELS}
    models = Models(Catalogue(deployments, {"fast": ("gpt-4o-mini",)}), 1_700_000_000)
    verifier = TokenVerifier(issuers, http, clock) if http is not None else None
    identities = Identities(
        clock=clock,
        keys=KeyReader(store, clock, Random(3)) if store is not None else None,
        tokens=(lambda: verifier) if verifier is not None else None,
        roles=roles,
        allowances=allowances or Allowances(),
    )
    routes: Mapping[str, Any] = {
        "/v1/models": {"GET": ("models", models.listing)},
        "/v1/models/": {"GET": ("model", models.one)},
        "/v1/chat/completions": {"POST": ("chat", _chat)},
        "/v1/embeddings/": {"GET": ("who", _who)},
    }
    app = Gateway(Edge(routes, Authenticator(Secret(MASTER_KEY), identities), clock, lambda: "req-1", lines.append))
    opened = Door(httpx2.AsyncClient(), lines)

    async def behind_api_gateway(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "aws.event": opened.event}, receive, send)

    inner = httpx2.ASGITransport(app=behind_api_gateway, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=inner, base_url="http://gateway") as client:
        opened.client = client
        yield opened
