"""Fetching what clients name, against loopback servers behind a resolver that the test controls."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from tests.support.tls import contexts
from tests.support.upstream import STREAM_HEAD, Cut, Hang, Reset, Upstream, chunk, upstream, whole

from pllm.core.errors import GatewayError
from pllm.core.public_address import is_public
from pllm.providers.media import FetchLimits, MediaFetcher, system_addresses
from pllm.wire.addressed_media import MediaKind, Wanted
from pllm.wire.neutral import Inline

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PDF = b"%PDF-1.7 words"
SERVER, CLIENT = contexts("media.example", "other.example")


def port_of(up: Upstream) -> int:
    return int(up.base_url.rpartition(":")[2])


def at(up: Upstream, path: str = "/a.png", host: str = "media.example") -> str:
    return f"https://{host}:{port_of(up)}{path}"


def want(url: str, kind: MediaKind = "image", path: str = "messages[0]") -> Wanted:
    return Wanted(url, kind, path)


def loopback(address: IPv4Address | IPv6Address) -> bool:
    return str(address) == "127.0.0.1"


class Names:
    """A resolver that counts. `answers` are given in turn, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers or (["127.0.0.1"],))
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def fetcher(
    *ups: Upstream,
    names: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    permits: Callable[[IPv4Address | IPv6Address], bool] = loopback,
    **limits: Any,
) -> MediaFetcher:
    ports = frozenset(map(port_of, ups))
    return MediaFetcher(names or Names(), permits=permits, limits=FetchLimits(ports=ports, **limits), verify=CLIENT)


async def refusal(made: MediaFetcher, *wanted: Wanted) -> str:
    with pytest.raises(GatewayError) as caught:
        await made.fetch(wanted)
    assert caught.value.status == 400
    assert caught.value.param == wanted[0].path
    return caught.value.message


async def test_case_21_an_image_is_fetched_and_its_type_is_what_its_bytes_say() -> None:
    async with upstream(SERVER) as up:
        up.will(whole(PNG, content_type="image/jpeg"))
        url = at(up, "/a.png?sig=%2Fx")
        assert await fetcher(up).fetch([want(url)]) == {url: Inline(PNG, "image/png")}
        (asked,) = up.requests
        assert (asked.method, asked.path) == ("GET", "/a.png?sig=%2Fx")
        assert asked.headers["host"] == f"media.example:{port_of(up)}"
        assert not {"authorization", "cookie", "x-api-key", "referer"} & asked.headers.keys()


async def test_several_are_fetched_at_once_and_one_address_once() -> None:
    async with upstream(SERVER) as slow, upstream(SERVER) as quick:
        slow.will(Hang(quick.asked), whole(PNG))
        quick.will(Hang(slow.asked), whole(PDF))
        first, second = at(slow), at(quick, "/b.pdf")
        fetched = await fetcher(slow, quick).fetch([want(first), want(first), want(second, "document")])
        assert fetched == {first: Inline(PNG, "image/png"), second: Inline(PDF, "application/pdf")}
        assert len(slow.requests) == 1


async def test_a_name_that_points_inside_is_refused_before_anything_connects() -> None:
    async with upstream(SERVER) as up:
        for inside in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00:ec2::254", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe"):
            said = await refusal(fetcher(up, names=Names([inside]), permits=is_public), want(at(up)))
            assert "not a public address" in said
        assert up.requests == []


async def test_one_address_inside_condemns_a_name_that_has_public_ones_too() -> None:
    async with upstream(SERVER) as up:
        names = Names(["93.184.216.34", "127.0.0.1"])
        assert "not a public address" in await refusal(fetcher(up, names=names, permits=is_public), want(at(up)))


async def test_a_name_that_changes_its_mind_between_check_and_connection_gains_nothing() -> None:
    async with upstream(SERVER) as up:
        up.will(whole(PNG))
        names = Names(["127.0.0.1"], ["203.0.113.9"])
        await fetcher(up, names=names).fetch([want(at(up))])
        assert names.asked == ["media.example"]


async def test_a_redirect_is_judged_like_the_first_address() -> None:
    async with upstream(SERVER) as up:
        for inside in (
            "http://media.example/",
            "https://169.254.169.254/latest",
            "//127.0.0.1/",
            "https://u@media.example/",
            "file:///x",
        ):
            up.scripts.clear()
            up.will(whole(b"", 302, location=inside))
            assert await refusal(fetcher(up, permits=lambda address: loopback(address) or is_public(address)), want(at(up)))
        assert {asked.path for asked in up.requests} == {"/a.png"}


async def test_a_redirect_to_a_name_that_points_inside_is_refused() -> None:
    async with upstream(SERVER) as up:
        up.will(whole(b"", 301, location=at(up, "/b.png", "other.example")))
        names = Names(["127.0.0.1"], ["10.0.0.8"])
        assert "not a public address" in await refusal(fetcher(up, names=names), want(at(up)))
        assert names.asked == ["media.example", "other.example"]
        assert len(up.requests) == 1


async def test_three_redirects_are_followed_and_no_fourth() -> None:
    async with upstream(SERVER) as up:
        for step in ("b", "c", "d"):
            up.will(whole(b"", 307, location=f"/{step}.png"))
        up.will(whole(PNG))
        assert len(await fetcher(up).fetch([want(at(up))])) == 1
        up.scripts.clear()
        up.will(whole(b"", 308, location="/again.png"))
        assert "redirects more than 3 times" in await refusal(fetcher(up), want(at(up)))


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        pytest.param((whole(b"gone", 404),), "answered 404", id="404"),
        pytest.param((whole(b"", 302),), "answered 302", id="redirect to nowhere"),
        pytest.param((whole(b"<html>please log in</html>"),), "no known type", id="a page"),
        pytest.param((whole(PDF),), "it is application/pdf", id="another kind"),
        pytest.param((whole(b""),), "no known type", id="nothing"),
        pytest.param((whole(PNG, content_encoding="gzip"),), "compressed", id="compressed"),
        pytest.param((Cut(),), "broke off", id="no answer"),
        pytest.param((b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n" + PNG, Cut()), "broke off", id="cut"),
        pytest.param((b"HTTP/1.1 200 OK\r\n\r\n" + PNG, Reset()), "broke off", id="reset"),
        pytest.param((STREAM_HEAD, chunk(PNG), b"nonsense\r\n", Hang()), "broke off", id="chunks that are none"),
        pytest.param((whole(PNG + b"x" * 100),), "larger than 64 bytes", id="too large by its header"),
        pytest.param((STREAM_HEAD, chunk(PNG), chunk(b"x" * 100), Hang()), "larger than 64 bytes", id="too large unannounced"),
    ],
)
async def test_what_does_not_come_as_it_should_is_a_400_that_names_the_part(steps: Any, why: str) -> None:
    async with upstream(SERVER) as up:
        up.will(*steps)
        said = await refusal(fetcher(up, bytes_each=64), want(at(up, "/a.png?secret=1"), path="messages[3]"))
        assert why in said
        assert "'messages[3]'" in said and "media.example" in said and "secret" not in said


async def test_one_that_takes_too_long_is_refused() -> None:
    async with upstream(SERVER) as up:
        up.will(STREAM_HEAD, chunk(PNG), Hang())
        assert "did not arrive within 0.5 s" in await refusal(fetcher(up, seconds=0.5), want(at(up)))
        await asyncio.wait_for(up.hung_up.wait(), 5)


async def test_the_clients_deadline_is_shorter_still() -> None:
    async with upstream(SERVER) as up:
        up.will(Hang())
        with pytest.raises(GatewayError, match=r"did not arrive within 0\.02 s"):
            await fetcher(up).fetch([want(at(up))], 0.02)


async def test_all_files_of_a_request_together_have_a_limit() -> None:
    async with upstream(SERVER) as up:
        up.will(whole(PNG))
        said = await refusal(fetcher(up, bytes_all=len(PNG) + 1), want(at(up, "/1")), want(at(up, "/2")))
        assert "together are larger than" in said


async def test_more_files_than_are_fetched_is_a_400() -> None:
    async with upstream(SERVER) as up:
        with pytest.raises(GatewayError, match="names 3 files by address; at most 2"):
            await fetcher(up, files=2).fetch([want(at(up, f"/{n}")) for n in range(3)])
        assert up.requests == []


async def test_a_failure_stops_the_other_downloads() -> None:
    async with upstream(SERVER) as bad, upstream(SERVER) as slow:
        bad.will(whole(b"", 404))
        slow.will(Hang())
        await refusal(fetcher(bad, slow), want(at(bad)), want(at(slow)))
        if slow.requests:
            await asyncio.wait_for(slow.hung_up.wait(), 5)


async def test_a_certificate_for_another_name_is_refused() -> None:
    async with upstream(SERVER) as up:
        up.will(whole(PNG))
        assert "could not be reached" in await refusal(fetcher(up), want(at(up, host="third.example")))
        assert up.requests == []


async def test_a_name_without_an_address_is_refused() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("Name or service not known")

    async with upstream(SERVER) as up:
        for names in (nowhere, Names([])):
            assert "has no address" in await refusal(fetcher(up, names=names), want(at(up)))


async def test_the_system_resolver_gives_plain_addresses() -> None:
    assert set(await system_addresses("localhost", 443)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "url", ["https://localhost/a", "https://127.0.0.1/a", "https://[::1]/a", "http://x.example/a", "gs://b/k"]
)
async def test_the_default_fetcher_goes_nowhere_inside(url: str) -> None:
    assert await refusal(MediaFetcher(), want(url))
