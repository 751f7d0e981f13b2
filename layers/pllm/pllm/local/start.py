"""`pllm local`: real runtime workers behind a local Runtime API, an upstream if none is configured, and a banner."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from lambda_stream.local import FunctionSpec, LocalLambda, Route
from pllm.core.config import ConfigError, compile_config
from pllm.core.config.loader import LoadedConfig, load
from pllm.core.config.resolve import used_variables
from pllm.local import dynamodb
from pllm.local.banner import banner
from pllm.local.children import child
from pllm.local.upstreams import ALIAS, embedded
from pllm.providers.registry import ROWS

LOCAL_KEY = "sk-pllm-local"
"""The master key of a laptop that sets none. It guards nothing but loopback."""

_ROOT = Path(__file__).resolve().parents[4]
_PACKAGED = _ROOT / "layers" / "config" / "config.yaml"
_MODELS = ("auto", "real", "demo")
_PASSED_ON = ("AWS_", "GOOGLE_", "OTEL_", "PLLM_", "SSL_", "REQUESTS_CA")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. `model`: auto, real or demo; None takes the MODEL variable, else auto."""

    host: str = "127.0.0.1"
    port: int = 8787
    workers: int = 4
    config: str | None = None
    model: str | None = None
    dynamodb_endpoint: str | None = None


class StartError(Exception):
    """What was asked for cannot be served, in a sentence for who asked."""


def run(options: Options) -> int:
    """Serves until interrupted; returns the exit code."""
    try:
        asyncio.run(_serve(options))
    except StartError as error:
        print(f"pllm local: {error}", file=sys.stderr)
        return 2
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise  # of the banner, which nobody reads
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror}. Choose another with --port.", file=sys.stderr)
        return 1
    return 0


async def _serve(options: Options) -> None:
    async with AsyncExitStack() as stack:
        (text, name, says), endpoint = await asyncio.gather(_configuration(options, stack), _table(options, stack))
        loaded = load(text, name)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pllm-")))
        compiled = folder / "config.json"
        compiled.write_bytes(compile_config(loaded.config, loaded.warnings, name))
        key = os.environ.get("PLLM_MASTER_KEY") or LOCAL_KEY
        environment = _function_environment(loaded, compiled, key) | {
            "PLLM_TABLE": dynamodb.TABLE,
            "PLLM_DYNAMODB_ENDPOINT": endpoint,
        }
        server = await stack.enter_async_context(
            LocalLambda(_functions(environment), _routes(), options.host, options.port, options.workers)
        )
        print(banner(server.url, key, _model_for_examples(loaded), says, os.environ.get("PLLM_MASTER_KEY") is None), flush=True)
        await _until_stopped()


async def _configuration(options: Options, stack: AsyncExitStack) -> tuple[str, str, str]:
    """(text, file name, what the banner says about who answers)."""
    if options.config:
        return _read(options.config), options.config, f"configuration: {options.config}"
    wanted = options.model or os.environ.get("MODEL") or "auto"
    if wanted not in _MODELS:
        raise StartError(f"MODEL: expected one of {', '.join(_MODELS)}, got {wanted!r}")
    found = sorted(_provider_keys(os.environ))
    if found and wanted == "auto":
        return _read(str(_PACKAGED)), str(_PACKAGED), f"provider keys from the environment: {', '.join(found)}"
    upstream = await stack.enter_async_context(embedded(wanted))
    return upstream.config(), "(embedded)", upstream.says


async def _table(options: Options, stack: AsyncExitStack) -> str:
    """The endpoint of a DynamoDB that has our table: the one that was named, or the embedded one."""
    if options.dynamodb_endpoint is not None:
        await asyncio.to_thread(_create_table, options.dynamodb_endpoint)
        return options.dynamodb_endpoint
    return await stack.enter_async_context(child("pllm.local.dynamodb", start_s=60.0, name="The embedded DynamoDB"))


def _create_table(endpoint: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError  # for who names a DynamoDB

    try:
        dynamodb.create_table(endpoint)
    except (BotoCoreError, ClientError) as error:
        raise StartError(f"--dynamodb-endpoint {endpoint}: {error}") from None


def _read(name: str) -> str:
    try:
        return Path(name).read_text("utf-8-sig")
    except OSError as error:
        raise StartError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise StartError(f"{name}: not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}") from None


def _provider_keys(environment: Mapping[str, str]) -> Iterator[str]:
    prefixes = tuple(row.key_env for row in ROWS if row.key_env)
    for name, value in environment.items():
        if value and any(name == prefix or name.startswith(f"{prefix}_") for prefix in prefixes):
            yield name


def _function_environment(loaded: LoadedConfig, compiled: Path, key: str) -> dict[str, str]:
    """What the functions see of this machine's environment: the variables that they would be given in the cloud."""
    wanted = {*_provider_keys(os.environ), *used_variables(loaded.config)}
    wanted |= {variable for row in ROWS for variable in row.env_headers.values()}
    wanted |= {name for name in os.environ if name.startswith(_PASSED_ON)}
    passed = {name: os.environ[name] for name in wanted if name in os.environ}
    # Who looks at the numbers on a laptop expects the request that was just made among them.
    return {"PLLM_FLUSH_SECONDS": "0"} | passed | {"PLLM_CONFIG": str(compiled), "PLLM_MASTER_KEY": key}


def _functions(environment: Mapping[str, str]) -> list[FunctionSpec]:
    return [
        FunctionSpec(name, "handler.handler", environment, code_paths=(str(_ROOT / "functions" / name), *_code()))
        for name in ("gateway", "admin")
    ]


def _code() -> tuple[str, ...]:
    return str(_ROOT / "layers" / "pllm"), str(_ROOT / "layers" / "runtime")


def _routes() -> list[Route]:
    """As infra/template.yaml routes them."""
    return [*(Route("admin", prefix) for prefix in ("/v1/admin", "/api/admin", "/metrics", "/ui")), Route("gateway")]


def _model_for_examples(loaded: LoadedConfig) -> str:
    aliases = loaded.config.model_aliases
    return ALIAS if ALIAS in aliases else loaded.config.model_list[0].model_name


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
