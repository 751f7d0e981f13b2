"""Which addresses may be fetched from. ipaddress and the IANA registries it holds are the judge of the filter."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pllm.core.public_address import PublicUrl, RefusedUrlError, is_public, public_url

# Every special range that this Python knows of, where the module keeps them.
_V4: Any = vars(ipaddress)["_IPv4Constants"]
_V6: Any = vars(ipaddress)["_IPv6Constants"]
_V4_NAMES = ("linklocal", "loopback", "multicast", "public", "reserved")
SPECIAL: list[IPv4Network | IPv6Network] = [
    *_V4._private_networks,
    *_V6._private_networks,
    *_V6._reserved_networks,
    *(getattr(_V4, f"_{name}_network") for name in _V4_NAMES),
    *(getattr(_V6, f"_{name}_network") for name in ("linklocal", "multicast", "sitelocal")),
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_no_special_range_is_public_at_its_ends_or_inside(network: IPv4Network | IPv6Network) -> None:
    inside = network[min(network.num_addresses - 1, 0x1234567)]
    for address in (network[0], network[-1], inside):
        assert not is_public(address), address


@settings(deadline=None, max_examples=300)
@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_public_only_if_python_says_so(address: IPv4Address) -> None:
    if is_public(address):
        assert address.is_global and not address.is_multicast and not address.is_reserved


@settings(deadline=None, max_examples=300)
@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_public_only_if_python_says_so(address: IPv6Address) -> None:
    if is_public(address) and address not in IPv6Network("64:ff9b::/96"):
        assert address.is_global and not address.is_multicast and not address.is_reserved
        assert address.ipv4_mapped is None and address.sixtofour is None and address.teredo is None


@settings(deadline=None, max_examples=200)
@given(st.ip_addresses(v=4))
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("169.254.169.254"))
def test_no_disguise_in_ipv6_makes_an_ipv4_address_public(inner: IPv4Address) -> None:
    bits = int(inner)
    disguises = [0xFFFF << 32 | bits, bits, 0x2002 << 112 | bits << 80, 0x2001 << 112 | bits ^ 0xFFFFFFFF, 0xFFFF << 48 | bits]
    assert not any(is_public(IPv6Address(disguise)) for disguise in disguises)
    assert is_public(IPv6Address((0x64FF9B << 96) | bits)) == is_public(inner)


@pytest.mark.parametrize(
    "address", [*METADATA, "fe80::1%eth0", "::1", "::", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1"]
)
def test_where_clouds_keep_their_secrets_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "52.95.110.1", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]
)
def test_the_public_internet_is(address: str) -> None:
    assert is_public(ip_address(address))


def refused(url: str) -> str:
    with pytest.raises(RefusedUrlError) as caught:
        public_url(url)
    return str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "017700000001",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fd00:ec2::254]", "[fe80::1%25eth0]", "[::]", "[2002:7f00:1::]",
        "169.254.169.254", "１６９.254.169.254", "127。0。0。1", "example.com.0x7f", "printer", "x..example", "-x.example",
        "a_b", "", "[::1", "exa mple.com", "ex%61mple.com", "x" * 300 + ".example",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_host_gets_inside(host: str) -> None:
    assert refused(f"https://{host}/a.png")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://x.example/a", "only https"),
        ("file:///etc/passwd", "only https"),
        ("s3://b/k", "only https"),
        ("data:image/png;base64,AA", "only https"),
        ("//x.example/a", "only https"),
        ("", "only https"),
        ("https://user:pass@x.example/a", "credentials"),
        ("https://x.example@127.0.0.1/a", "credentials"),
        ("https://@x.example/a", "credentials"),
        ("https://x.example:22/a", "port"),
        ("https://x.example:80/a", "port"),
        ("https://x.example:99999/a", "valid URL"),
        ("https://x.example\\@127.0.0.1/", "credentials"),
        ("https://x.example/a\\b", "characters"),
        ("https://x.example/a b", "characters"),
        ("https://x.exam\tple/", "characters"),
        ("https://x.example/\r\nHost: y", "characters"),
    ],
)
def test_what_is_not_fetched_is_told_why(url: str, why: str) -> None:
    assert why in refused(url)


@pytest.mark.parametrize(
    ("url", "put_together"),
    [
        (
            "https://X.Example./a/b.png?q=1&r=%20#frag",
            PublicUrl("https://x.example/a/b.png?q=1&r=%20", "x.example", 443, False),
        ),
        ("HTTPS://x.example", PublicUrl("https://x.example/", "x.example", 443, False)),
        (
            "https://bücher.example/ü?ü",
            PublicUrl("https://xn--bcher-kva.example/%C3%BC?%C3%BC", "xn--bcher-kva.example", 443, False),
        ),
        ("https://8.8.8.8:443/x", PublicUrl("https://8.8.8.8/x", "8.8.8.8", 443, True)),
        ("https://[2606:4700::1]/x", PublicUrl("https://[2606:4700::1]/x", "2606:4700::1", 443, True)),
    ],
)
def test_a_public_url_is_put_together_anew(url: str, put_together: PublicUrl) -> None:
    assert public_url(url) == put_together


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_refused_or_put_together_to_itself(text: str) -> None:
    try:
        once = public_url("https://" + text)
    except RefusedUrlError:
        return
    assert public_url(once.url) == once
