"""A control plane on a port of this machine, for commands that speak HTTP with it."""

import socket
import threading
from random import Random
from typing import Any, Self

import uvicorn
from tests.support.control import running
from tests.support.door import MASTER_KEY
from tests.support.key_service import KeyService

from pllm.admin.app import admin_app
from pllm.admin.services import AdminServices, Kept, Scope
from pllm.core.principal import Principal
from pllm.core.secret import Secret
from pllm.edge.auth import Authenticator, Identities
from pllm.edge.http import HttpRequest
from pllm.state.fleet_reader import FleetReader
from pllm.state.key_reader import KeyReader


class ServedControl:
    """Serves as long as its block lasts; `url` is where."""

    def __init__(self, service: KeyService) -> None:
        door = Authenticator(Secret(MASTER_KEY), Identities(service.clock, KeyReader(service.store, service.clock, Random(1))))

        async def authenticate(scope: Scope) -> Principal:
            return await door.authenticate(HttpRequest(scope, _no_body))

        kept = Kept(service.keys, service.teams, service.audit)
        fleet, breakers = FleetReader(service.store, service.clock), service.breakers
        services = AdminServices(
            authenticate, running(), service.clock, lambda: "r", lambda line: None, kept, fleet=fleet, breakers=breakers
        )
        app: Any = admin_app(services)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


async def _no_body() -> Any:
    raise AssertionError
