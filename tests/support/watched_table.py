"""A way to DynamoDB that sees everything: one write of a gate at a time, with what the gate held before and after.

It stands between gateways and DynamoDB Local, at an address for each gateway. A write that reached it is carried to its end
even if its sender is dead by then, so it is always known whether it was applied: what a dead gateway cannot tell.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

_ADDED = re.compile(r"(#\d+) (:\d+)")

Image = Mapping[str, int]
"""The numbers of a gate item."""


@dataclass(frozen=True, slots=True)
class GateWrite:
    """An UpdateItem of a gate. `added`: what its ADD clause adds to which attribute."""

    gateway: int
    gate: str
    added: Mapping[str, int]

    @property
    def gives_back(self) -> bool:
        return any(self.added.get(name, 0) < 0 for name in ("h", "k"))

    @property
    def takes(self) -> bool:
        return any(self.added.get(name, 0) > 0 for name in ("h", "k"))


@dataclass(frozen=True, slots=True)
class Done:
    """A write that was applied."""

    write: GateWrite
    before: Image
    after: Image


async def _pass(write: GateWrite) -> bool:
    return True


async def _nothing(done: Done) -> None:
    """Nobody listens."""


@dataclass
class WatchedTable:
    """`arriving` is asked about each gate write before it goes on: False loses it. `applied` is told before its answer goes
    back."""

    endpoint: str
    arriving: Callable[[GateWrite], Awaitable[bool]] = _pass
    applied: Callable[[Done], Awaitable[None]] = _nothing
    images: dict[str, Image] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    _turn: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def _serve(self, gateway: int, session: aiohttp.ClientSession, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except ConnectionError:
            return _unheard()  # it died before it had said what it wants
        write = _gate_write(gateway, request.headers.get("x-amz-target", ""), body)
        if write is None:
            return await self._forward(session, request, body)
        if not await self.arriving(write):
            return _unheard()
        async with self._turn[write.gate]:
            answer = await self._forward(session, request, body)
            if answer.status != 200:
                return answer
            done = Done(write, self.images.get(write.gate, {}), _numbers(answer.body))
            self.images[write.gate] = done.after
        await self.applied(done)
        return answer

    async def _forward(self, session: aiohttp.ClientSession, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        async with session.post(self.endpoint, data=body, headers=headers) as answer:
            kind = answer.headers.get("content-type", "application/x-amz-json-1.0")
            return web.Response(status=answer.status, body=await answer.read(), headers={"content-type": kind})


def _unheard() -> web.Response:
    """Nobody is there any more to read it."""
    return web.Response(status=500)


def _gate_write(gateway: int, target: str, body: bytes) -> GateWrite | None:
    if not target.endswith(".UpdateItem"):
        return None
    asked = json.loads(body)
    gate = asked["Key"]["PK"]["S"]
    if not gate.startswith("G#"):
        return None
    names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
    _, _, adding = asked["UpdateExpression"].rpartition("ADD ")
    found = _ADDED.findall(adding.partition("REMOVE")[0]) if "ADD " in asked["UpdateExpression"] else []
    return GateWrite(gateway, gate, {names[name]: int(values[value]["N"]) for name, value in found})


def _numbers(body: Any) -> Image:
    attributes = json.loads(body)["Attributes"]
    return {name: int(typed["N"]) for name, typed in attributes.items() if "N" in typed}


@asynccontextmanager
async def watched_table(endpoint: str, gateways: int) -> AsyncIterator[WatchedTable]:
    """An address for each of so many gateways. Whoever leaves waits for what is under way."""
    table = WatchedTable(endpoint)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        runners = []
        try:
            for gateway in range(gateways):
                app = web.Application()
                app.router.add_route("*", "/{rest:.*}", partial(table._serve, gateway, session))
                runner = web.AppRunner(app, access_log=None)
                runners.append(runner)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                table.addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            yield table
        finally:
            for runner in runners:
                await runner.cleanup()
