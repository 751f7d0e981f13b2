"""Which addresses may be fetched from on a client's word: those of the public internet and nothing else.

A gateway that fetches what clients name can be made to fetch from inside: instance metadata, the function's own endpoints,
a VPC's servers. So a URL is taken apart here once and put together anew from its parts (two parsers that disagree are the
oldest way around a filter), and every address that its host resolves to is judged before anything connects to it.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urlsplit

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (Alibaba's metadata: 100.100.100.200)
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local: metadata and container credentials
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments (Oracle's metadata: 192.0.0.192)
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: an IPv4 address in its last 32 bits, which is what must be public."""

_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_SAFE = "/:@!$&'()*+,;=~-._%"


class RefusedUrlError(Exception):
    """The URL may not be fetched; the message says why, for the client to read."""


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """A URL put together anew. `host` is a DNS name in ASCII, or an address without brackets that was judged already."""

    url: str
    host: str
    port: int
    is_address: bool


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet, whichever way it is written."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False
    if address in _TRANSLATED:
        return is_public(IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def public_url(url: str, ports: frozenset[int] = frozenset({443})) -> PublicUrl:
    """`url`, if it may be asked for: https, a public host, one of `ports`, and no credentials. Raises RefusedUrlError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
        host = parts.hostname or ""
    except ValueError:
        raise RefusedUrlError("it is not a valid URL") from None
    if parts.scheme != "https":
        raise RefusedUrlError("only https:// addresses are fetched")
    if "@" in parts.netloc:
        raise RefusedUrlError("it holds credentials")
    if "\\" in url or any(character <= " " or character == "\x7f" for character in url):
        raise RefusedUrlError("it holds characters that a URL may not have")
    if port not in ports:
        raise RefusedUrlError(f"its port is not {' or '.join(map(str, sorted(ports)))}")
    name, is_address = _host(host)
    shown = f"[{name}]" if ":" in name else name
    query = f"?{quote(parts.query, safe=_SAFE + '/?')}" if parts.query else ""
    place = shown if port == 443 else f"{shown}:{port}"
    return PublicUrl(f"https://{place}{quote(parts.path or '/', safe=_SAFE)}{query}", name, port, is_address)


def _host(host: str) -> tuple[str, bool]:
    try:
        address = ip_address(host)
    except ValueError:
        return _name(host), False
    if not is_public(address):
        raise RefusedUrlError("its host is not a public address")
    return address.compressed, True


def _name(host: str) -> str:
    """A DNS name in ASCII. Names that end in a number are addresses in disguise (2130706433, 0x7f.1, 0177.0.0.1)."""
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise RefusedUrlError("its host is not a valid name") from None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise RefusedUrlError("its host is not a public address")
    if not _HOST_NAME.fullmatch(name):
        raise RefusedUrlError("its host is not a full DNS name")
    return name
