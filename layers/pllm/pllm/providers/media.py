"""Fetching what clients name by address, for upstreams that want bytes (translation case 21).

The client chooses the address, so it is treated as an attack: see core.public_address. The host is resolved here, every
address it has must be public, and the connection goes to the addresses that were judged (Host and TLS still name the host),
so that a second answer of the DNS cannot change anything. Each redirect is judged anew. What comes is limited in size and
time and has to be what it is said to be.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urljoin, urlsplit

from yarl import URL

from pllm.core.errors import GatewayError, invalid
from pllm.core.media_type import sniff, sniff_document
from pllm.core.public_address import PublicUrl, RefusedUrlError, is_public, public_url
from pllm.providers.connections import Watched
from pllm.providers.tls import aiohttp, verified
from pllm.wire.addressed_media import Wanted
from pllm.wire.neutral import Inline

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> its addresses. Raises OSError when it has none."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"user-agent": "pllm", "accept": "*/*", "accept-encoding": "identity"}
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """For one request: files, bytes of each and of all, seconds for everything; and redirects of each."""

    files: int = 32
    bytes_each: int = 20 * 1024 * 1024
    bytes_all: int = 48 * 1024 * 1024
    seconds: float = 15.0
    redirects: int = 3
    ports: frozenset[int] = frozenset({443})


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class MediaFetcher:
    """`permits` judges addresses and `verify` certificates; both are for tests to replace, as `resolve` is."""

    def __init__(
        self,
        resolve: Resolve = system_addresses,
        *,
        permits: Callable[[IPv4Address | IPv6Address], bool] = is_public,
        limits: FetchLimits | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve = resolve
        self._permits = permits
        self._limits = limits or FetchLimits()
        self._verify = verify

    async def fetch(self, wanted: Sequence[Wanted], patience_s: float = float("inf")) -> dict[str, Inline]:
        """Every address with its bytes, all fetched at once. Raises GatewayError(400) naming the part that failed."""
        first = {one.url: one for one in reversed(wanted)}
        if len(first) > self._limits.files:
            raise invalid(f"The request names {len(first)} files by address; at most {self._limits.files} are fetched.")
        budget = _Budget(self._limits)
        gate = asyncio.Semaphore(_AT_ONCE)
        limit_s = min(self._limits.seconds, patience_s)
        tasks = {url: asyncio.create_task(self._one(one, budget, gate, limit_s)) for url, one in first.items()}
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        fetched = {url: task.result() for url, task in tasks.items()}
        return {url: _typed(one, fetched[url]) for url, one in ((one.url, one) for one in reversed(wanted))}

    async def _one(self, one: Wanted, budget: "_Budget", gate: asyncio.Semaphore, limit_s: float) -> "_File":
        try:
            async with asyncio.timeout(limit_s), gate:
                return await self._follow(one.url, budget)
        except RefusedUrlError as error:
            raise _refused(one, str(error)) from None
        except TimeoutError:
            raise _refused(one, f"it did not arrive within {limit_s:.3g} s") from None
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError):
            raise _refused(one, "its server could not be reached or broke off") from None

    async def _follow(self, url: str, budget: "_Budget") -> "_File":
        for _ in range(self._limits.redirects + 1):
            target = public_url(url, self._limits.ports)
            found = await self._get(target, await self._addresses(target), budget)
            if isinstance(found, _File):
                return found
            url = urljoin(target.url, found)
        raise RefusedUrlError(f"it redirects more than {self._limits.redirects} times")

    async def _addresses(self, target: PublicUrl) -> list[str]:
        """The addresses to connect to. One that is not public condemns the host, however many others it has."""
        if target.is_address:
            found: Sequence[str] = [target.host]
        else:
            try:
                found = await self._resolve(target.host, target.port)
            except (OSError, UnicodeError):
                raise RefusedUrlError("its host has no address") from None
        if not found:
            raise RefusedUrlError("its host has no address")
        if not all(self._permits(ip_address(address)) for address in found):
            raise RefusedUrlError("its host is not a public address")
        return list(found)

    async def _get(self, target: PublicUrl, addresses: Sequence[str], budget: "_Budget") -> "_File | str":
        """The file, or where it has moved to."""
        connector = aiohttp.TCPConnector(resolver=_Pinned(addresses), use_dns_cache=False, ssl=self._verify or verified())
        timeout = aiohttp.ClientTimeout(total=None)  # the whole fetch has its own
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False, trust_env=False) as session,
            session.get(URL(target.url, encoded=True), headers=_HEADERS, allow_redirects=False) as response,
        ):
            moved = response.headers.get("location")
            if response.status in _REDIRECTS and moved:
                return moved
            if response.status != 200:
                raise RefusedUrlError(f"its server answered {response.status}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise RefusedUrlError("it came compressed, although that was not asked for")
            budget.expect(response.content_length or 0)
            pieces, body = bytearray(), Watched(response)
            async for piece in response.content.iter_any():
                budget.take(len(piece), len(pieces) + len(piece))
                pieces += piece
            if body.broke_off:
                raise RefusedUrlError("its server broke off")
            return _File(bytes(pieces), response.headers.get("content-type", ""), urlsplit(target.url).path)


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    declared: str
    path: str


class _Budget:
    """Bytes that one request may still fetch."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._taken = 0

    def expect(self, size: int) -> None:
        if size > self._limits.bytes_each:
            raise self._too_large()

    def take(self, piece: int, so_far: int) -> None:
        self._taken += piece
        if so_far > self._limits.bytes_each:
            raise self._too_large()
        if self._taken > self._limits.bytes_all:
            raise RefusedUrlError(f"the request's files together are larger than {self._limits.bytes_all} bytes")

    def _too_large(self) -> RefusedUrlError:
        return RefusedUrlError(f"it is larger than {self._limits.bytes_each} bytes")


class _Pinned(aiohttp.abc.AbstractResolver):
    """Answers with the addresses that were judged, whatever is asked."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Holds nothing."""


_WORDS: Mapping[str, str] = {"image": "an image", "document": "a document", "audio": "audio"}


def _typed(one: Wanted, file: _File) -> Inline:
    media_type = sniff_document(file.data, file.declared, file.path) if one.kind == "document" else sniff(file.data)
    if media_type is None or (one.kind != "document" and not media_type.startswith(f"{one.kind}/")):
        what = f"it is {media_type}" if media_type else "its first bytes are of no known type"
        raise _refused(one, f"it is not {_WORDS[one.kind]}: {what}")
    if one.kind == "document" and media_type.startswith(("image/", "audio/")):
        raise _refused(one, f"it is not a document: it is {media_type}")
    return Inline(file.data, media_type)


def _refused(one: Wanted, why: str) -> GatewayError:
    """The host alone is shown: the rest of an address may be a secret."""
    try:
        host = urlsplit(one.url).hostname or "the given address"
    except ValueError:
        host = "the given address"
    return invalid(f"'{one.path}' names {_WORDS[one.kind]} at {host[:253]}, which cannot be fetched: {why}.", one.path)
