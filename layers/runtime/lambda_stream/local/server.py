"""`LocalLambda`: functions and routes in, a served port out."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from lambda_stream.local.environment import Output
from lambda_stream.local.front import Front
from lambda_stream.local.pool import EnvironmentPool
from lambda_stream.local.specs import FunctionSpec, Limits, Route

# API Gateway takes 10,240 bytes of request line and headers together.
_HEAD_LIMIT_BYTES = 10240


class LocalLambda:
    """Serves `functions` by `routes` on http://`host`:`port` while its `async with` block runs.

    `port` 0 takes a free one; `max_environments` counts for each function. `output` takes what workers print (a file or a
    descriptor; None: this process's own stderr and stdout). Raises ValueError for routes to functions that are not given,
    OSError when the port is taken.
    """

    def __init__(
        self,
        functions: Sequence[FunctionSpec],
        routes: Sequence[Route],
        host: str = "127.0.0.1",
        port: int = 0,
        max_environments: int = 4,
        *,
        limits: Limits | None = None,
        stage: str = "local",
        output: Output = None,
    ) -> None:
        if max_environments < 1:
            raise ValueError(f"max_environments is {max_environments}; at least one environment is needed")
        limits = limits or Limits()
        self.host = host
        self.port = port
        self.pools = {spec.name: EnvironmentPool(spec, limits, max_environments, output) for spec in functions}
        unknown = sorted({route.function for route in routes} - self.pools.keys())
        if unknown or len(self.pools) != len(functions):
            raise ValueError(f"routes lead to unknown functions {unknown}, or two functions share a name: {sorted(self.pools)}")
        self._front = Front(self.pools, routes, limits, stage)
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None

    @property
    def url(self) -> str:
        """Where it is served, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._http = web.Server(
            self._front.handle,
            access_log=None,
            auto_decompress=False,
            max_line_size=_HEAD_LIMIT_BYTES,
            max_field_size=_HEAD_LIMIT_BYTES,
        )
        self._server = await asyncio.get_running_loop().create_server(self._http, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._http is not None
        self._server.close()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))
        await self._http.shutdown(timeout=1.0)
