"""Helper processes of `pllm local`: started together with it, stopped with it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def child(module: str, *arguments: str, start_s: float, name: str) -> AsyncIterator[str]:
    """Runs `python -m module` and gives the first line that it prints: its word that it is ready.

    Exits with a message when it ends or stays silent for `start_s` before that.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield await _first_line(process, start_s, name, module)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _first_line(process: asyncio.subprocess.Process, start_s: float, name: str, module: str) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(start_s):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if not line:
        raise SystemExit(f"{name} did not start. `python -m {module}` shows why.")
    return line.decode().strip()
