"""What the tests of the local Lambda share: a served function."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx
from tests.runtime.support.coverage import coverage_variables
from tests.runtime.support.folders import APPS

from lambda_stream.local import FunctionSpec, Limits, LocalLambda, Route


def served_function(
    name: str = "served", handler: str = "served_app.app", env: dict[str, str] | None = None, **fields: Any
) -> FunctionSpec:
    return FunctionSpec(name, handler, coverage_variables() | (env or {}), code_paths=(str(APPS),), **fields)


@asynccontextmanager
async def serving(
    *functions: FunctionSpec,
    routes: tuple[Route, ...] = (),
    environments: int = 2,
    limits: Limits | None = None,
    output: IO[bytes] | None = None,
) -> AsyncIterator[tuple[LocalLambda, httpx.AsyncClient]]:
    functions = functions or (served_function(),)
    lead = routes or (Route(functions[0].name),)
    async with (
        LocalLambda(functions, lead, max_environments=environments, limits=limits, output=output) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        yield server, client
