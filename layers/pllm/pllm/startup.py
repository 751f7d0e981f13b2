"""What an environment has to know before it can come up: its settings, the secret, the configuration, the version that holds.

What comes from outside is asked for at the same time, by signed requests without boto3.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pllm.core.clock import Clock
from pllm.core.config import CompiledConfig, load_compiled
from pllm.core.errors import ErrorKind, GatewayError
from pllm.live import FirstLook
from pllm.providers.aws_credentials import AwsCredentialSource
from pllm.providers.base import SimpleHttp
from pllm.providers.config_sources import Aws, fetch_config, is_remote
from pllm.providers.secrets import fetch_secret
from pllm.providers.sigv4 import AwsCredentials
from pllm.providers.transport import AiohttpTransport
from pllm.state.config_version import read_body, read_pointer
from pllm.state.signed_reads import SignedReads
from pllm.state.store import FLUSH_S, StateError
from pllm.telemetry.emf import NAMESPACE

PACKAGED_CONFIG = "/opt/config/config.json"
"""Where the config layer puts the compiled configuration."""

# The first key of every compiled file: telling it so spares a cold start a second parse.
_COMPILED = b'{"pllm_config"'

# The start does not hang on a table that is down: the deployed configuration serves meanwhile.
_TABLE_S = 1.5
_LONGEST_S = 3600


@dataclass(frozen=True, slots=True)
class Settings:
    """What the function's environment says. Every variable is described in docs/environment.md. `flush_s`: how long counts
    of requests may wait in an environment for others to be written with."""

    config: str = PACKAGED_CONFIG
    catalogue: str | None = None
    secret_arn: str | None = None
    table: str | None = None
    dynamodb_endpoint: str | None = None
    region: str = "us-east-1"
    function: str = "gateway"
    flush_s: float = FLUSH_S
    namespace: str = NAMESPACE

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Settings":
        """Raises GatewayError."""
        return Settings(
            config=environment.get("PLLM_CONFIG") or PACKAGED_CONFIG,
            catalogue=environment.get("PLLM_CATALOGUE") or None,
            secret_arn=environment.get("PLLM_SECRET_ARN") or None,
            table=environment.get("PLLM_TABLE") or None,
            dynamodb_endpoint=environment.get("PLLM_DYNAMODB_ENDPOINT") or None,
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
            function=environment.get("AWS_LAMBDA_FUNCTION_NAME") or "gateway",
            flush_s=_seconds(environment, "PLLM_FLUSH_SECONDS", FLUSH_S),
            namespace=environment.get("PLLM_METRICS_NAMESPACE") or NAMESPACE,
        )


@dataclass(frozen=True, slots=True)
class Start:
    """`variables`: the environment over the secret. `deployed`: the configuration that PLLM_CONFIG names."""

    variables: Mapping[str, str]
    deployed: CompiledConfig
    first: FirstLook


@dataclass(frozen=True, slots=True)
class Outside:
    """What is asked of AWS. Bound to the event loop of `http` and `credentials`."""

    environment: Mapping[str, str]
    settings: Settings
    clock: Clock
    http: SimpleHttp
    credentials: AwsCredentialSource

    async def variables(self) -> Mapping[str, str]:
        """The environment over the secret: what an operator sets on the function wins. Raises GatewayError."""
        arn = self.settings.secret_arn
        if arn is None:
            return self.environment
        secret = await fetch_secret(arn, self.settings.region, await self.credentials.get(), self.clock, self.http)
        return secret | dict(self.environment)

    async def config(self) -> bytes:
        """The bytes that PLLM_CONFIG names. Raises GatewayError, OSError."""
        name = self.settings.config
        if not is_remote(name):
            return await asyncio.to_thread(Path(name).read_bytes)
        aws = Aws(self.settings.region, self.environment, await self.credentials.get(), self.clock, self.http)
        return await fetch_config(name, aws)

    async def first_look(self) -> FirstLook:
        """The version that holds, and its body. Never raises: a table that is down must not keep the gateway down."""
        now_s = self.clock.wall_s()
        if (reads := self._reads()) is None:
            return FirstLook(now_s, trouble="there is none")
        try:
            async with asyncio.timeout(_TABLE_S):
                pointer = await read_pointer(reads)
                return FirstLook(now_s, pointer, await read_body(reads, pointer.version) if pointer.version else None)
        except StateError as error:
            return FirstLook(now_s, trouble=error.reason)
        except TimeoutError:
            return FirstLook(now_s, trouble="timeout")

    def _reads(self) -> SignedReads | None:
        settings = self.settings
        if settings.table is None:
            return None
        endpoint = settings.dynamodb_endpoint or self.environment.get("AWS_ENDPOINT_URL_DYNAMODB")
        endpoint = endpoint or self.environment.get("AWS_ENDPOINT_URL") or _endpoint(settings.region)
        return SignedReads(settings.table, endpoint.rstrip("/"), settings.region, self._keys, self.clock, self.http)

    async def _keys(self) -> AwsCredentials:
        try:
            return await self.credentials.get()
        except GatewayError:
            if self.settings.dynamodb_endpoint is None:
                raise
            return AwsCredentials("local", "local")  # a table on a laptop asks for a signature and checks none


def begin(environment: Mapping[str, str], settings: Settings, clock: Clock) -> Start:
    """Raises ConfigError, OSError, and GatewayError when the secret or the configuration cannot be read: an environment that
    cannot know its keys must not come up half."""
    if settings.secret_arn is None and settings.table is None and not is_remote(settings.config):
        deployed = read_config(settings.config)
        return Start(environment, deployed, FirstLook(clock.wall_s(), trouble="there is none"))
    variables, config, first = asyncio.run(_asked(environment, settings, clock))
    return Start(variables, parse_config(config, settings.config), first)


async def _asked(
    environment: Mapping[str, str], settings: Settings, clock: Clock
) -> tuple[Mapping[str, str], bytes, FirstLook]:
    transport = AiohttpTransport(clock)  # of its own: connections belong to the loop that made them
    credentials = AwsCredentialSource(environment, clock, transport.simple)
    outside = Outside(environment, settings, clock, transport.simple, credentials)
    try:
        return await asyncio.gather(outside.variables(), outside.config(), outside.first_look())
    finally:
        await transport.close()


def variables_of(environment: Mapping[str, str], settings: Settings, clock: Clock) -> Mapping[str, str]:
    """The variables alone. Raises GatewayError when the secret cannot be read."""
    if settings.secret_arn is None:
        return environment

    async def read() -> Mapping[str, str]:
        transport = AiohttpTransport(clock)
        credentials = AwsCredentialSource(environment, clock, transport.simple)
        try:
            return await Outside(environment, settings, clock, transport.simple, credentials).variables()
        finally:
            await transport.close()

    return asyncio.run(read())


def read_config(name: str) -> CompiledConfig:
    """The configuration in a file. Raises ConfigError, OSError."""
    return parse_config(Path(name).read_bytes(), name)


def parse_config(data: bytes, name: str) -> CompiledConfig:
    """A compiled configuration, or a YAML one compiled on the spot (laptops and tests: it costs a cold start its speed)."""
    if data.startswith(_COMPILED):
        return load_compiled(data, name)
    from pllm.core.config import compile_config  # YAML and pydantic are not for the cold start
    from pllm.core.config.loader import load

    loaded = load(_text(data, name), name)
    return load_compiled(compile_config(loaded.config, loaded.warnings, name), name)


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}"
        raise GatewayError(ErrorKind.UNAVAILABLE, f"The configuration {name} could not be read: {why}.") from None


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """Raises GatewayError for what is no length of time: a setting that was misspelt must not look as if it held."""
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _LONGEST_S:
        raise GatewayError(ErrorKind.UNAVAILABLE, f"{name}={text!r}: expected seconds, 0 to {_LONGEST_S}.")
    return value


def _endpoint(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://dynamodb.{region}.{suffix}"
