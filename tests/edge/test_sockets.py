"""What becomes of an answer when the provider's socket misbehaves, byte by byte, as its client and its operator see it: it is
complete or it is broken, the log and the metrics say the same, what arrived was passed on, and it is charged."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2
import pytest
from tests.support.dialects import CHAT, CONVERSE, DIALECTS, END, GEMINI, MESSAGES, Dialect
from tests.support.gateway import Harness, deployment, gateway
from tests.support.upstream import Cut, Reset, Step, chunk, event, upstream, whole

from pllm.core.breaker_policy import BreakerPolicy
from pllm.wire.sse import SseDecoder, SseEvent

_HELLO: Any = [{"role": "user", "content": "hi"}]
REQUESTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": _HELLO}),
    "messages": ("/v1/messages", {"messages": _HELLO, "max_tokens": 99}),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
    "completions": ("/v1/completions", {"prompt": "hi"}),
}
ENDS = {
    "chat": "[DONE]",
    "completions": "[DONE]",
    "messages": '"message_stop"}',
    "responses": '"response.completed"',
}
PAIRS = [
    ("chat", CHAT),
    ("chat", MESSAGES),
    ("chat", CONVERSE),
    ("chat", GEMINI),
    ("messages", CHAT),
    ("messages", MESSAGES),
    ("responses", CHAT),
    ("completions", CHAT),
]
NEVER = BreakerPolicy(enabled=False)


def endings(dialect: Dialect, size: int) -> Iterator[tuple[str, bytes, bool, Sequence[Step]]]:
    """(how the answer of `size` bytes ends wherever it is cut, its head, whether it is in chunks, what ends it)."""
    bare = dialect.head.replace(b"transfer-encoding: chunked\r\n", b"")
    told = dialect.head.replace(b"transfer-encoding: chunked", b"content-length: %d" % size)
    yield "closed in chunks", dialect.head, True, (Cut(),)
    yield "ended in chunks", dialect.head, True, (END,)
    yield "closed without a length", bare, False, (Cut(),)
    yield "closed as HTTP/1.0", bare.replace(b"HTTP/1.1", b"HTTP/1.0"), False, (Cut(),)
    yield "closed short of its length", told, False, (Cut(),)
    yield "reset in chunks", dialect.head, True, (Reset(),)


async def ask(gw: Harness, client: str) -> httpx2.Response:
    path, body = REQUESTS[client]
    return await gw.client.post(path, content=json.dumps({"model": "m", "stream": True, **body}))


def blocks(response: httpx2.Response) -> list[SseEvent]:
    reading = SseDecoder()
    found = [*reading.feed(response.content), *reading.close()]
    return [one for one in found if one.data is not None]


def said(client: str, response: httpx2.Response) -> str:
    """All text of an answer, error or not."""
    texts = []
    for block in blocks(response):
        if block.data is None or block.data.startswith(b"[DONE]"):
            continue
        value = json.loads(block.data)
        for choice in value.get("choices", ()):
            text = choice["delta"].get("content") if client == "chat" else choice["text"]
            texts += [text or ""]
        if value.get("type") == "content_block_delta":
            texts.append(value["delta"].get("text", ""))
        if value.get("type") == "response.output_text.delta":
            texts.append(value["delta"])
    return "".join(texts)


def complete(client: str, gw: Harness, response: httpx2.Response) -> bool:
    """Whether an answer is complete; whatever it is, everybody must say the same."""
    events, log, emf = blocks(response), gw.log(), gw.emf()
    if response.status_code != 200:
        assert log["status"] == response.status_code == 502
        assert log["error"] in ("stream_broken", "upstream_protocol")
        return False
    ended = [ENDS[client] in str(one.data) or ENDS[client] in one.event for one in events]
    failed = ['"error"' in str(one.data) and b'"error":null' not in (one.data or b"") for one in events]
    assert sum(ended) + any(failed) == 1, response.text
    assert ended[-1] or failed[-1], response.text
    assert ("error" in log) is failed[-1]
    assert bool(emf.get("StreamBroken")) is failed[-1]
    assert log["completion_tokens"] > 0
    assert ended[-1] or log["error"] == "stream_broken"
    return ended[-1]


def offsets(body: bytes, phase: int) -> list[int]:
    return [*range(phase, len(body) - 4, 67), *range(len(body) - 4, len(body) + 1)]


def spoken(dialect: Dialect) -> list[bytes]:
    """Its events without the tool call, which has no place in a text completion."""
    return [one for one in dialect.events if b"get_weather" not in one and b"arguments" not in one]


@pytest.mark.parametrize(("client", "dialect"), PAIRS, ids=[f"{client}-from-{dialect.name}" for client, dialect in PAIRS])
async def test_a_stream_that_is_cut_anywhere_in_any_way_is_complete_or_broken(client: str, dialect: Dialect) -> None:
    events = spoken(dialect) if client == "completions" else dialect.events
    body = b"".join(events)
    whole_at = len(body) - (0 if dialect is CONVERSE else 2)  # less its last blank line
    seen = set()
    async with upstream() as up, gateway([dialect.deployment(up)], breaker=NEVER) as gw:
        for number, (how, head, chunked, end) in enumerate(endings(dialect, len(body))):
            for offset in offsets(body, 13 * number):
                came = body[:offset]
                up.scripts.clear()
                up.will(head, chunk(came) if chunked and came else came, *end)
                response = await ask(gw, client)
                is_complete = complete(client, gw, response)
                assert not is_complete or offset >= whole_at, (how, offset, response.text)
                if response.status_code == 200 and not how.startswith("reset"):  # of which what had not been read is lost
                    assert is_complete or offset < len(body) or (dialect is GEMINI and how.startswith("closed in")), how
                    assert said(client, response).startswith(due(events, offset)), (how, offset)
                seen.add(is_complete)
    assert seen == {True, False}


def due(events: Sequence[bytes], offset: int) -> str:
    """The text of those events of which every byte arrived."""
    text, end = "", 0
    for one in events:
        end += len(one)
        text += "".join(word for word in ("Hel", "lo") if json.dumps(word).encode() in one and end <= offset)
    return text


def in_pieces(dialect: Dialect, body: bytes, size: int = 1) -> Sequence[Step]:
    return dialect.head, *(chunk(body[at : at + size]) for at in range(0, len(body), size)), END


def odd(dialect: Dialect) -> Iterator[tuple[str, Sequence[Step]]]:
    """Ways to send a whole stream that are rare and right."""
    body = b"".join(dialect.events)
    packed = dialect.head.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    packing = zlib.compressobj(wbits=31)
    flushed = [chunk(packing.compress(one) + packing.flush(zlib.Z_SYNC_FLUSH)) for one in dialect.events]
    yield "byte by byte", in_pieces(dialect, body)
    yield "early hints first", (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", *dialect.stream())
    yield "trailers", dialect.stream(end=(b"0\r\nx-checksum: 1\r\n\r\n",))
    yield "another answer behind it", (*dialect.stream(), whole(b"{}"))
    yield "data behind its end", (*dialect.stream(end=()), chunk(dialect.events[1]), END)
    yield "a reset behind its end", (*dialect.stream(), Reset())
    yield "compressed", (packed, chunk(gzip.compress(body)), END)
    yield "compressed event by event", (packed, *flushed, chunk(packing.flush()), END)
    if dialect is CONVERSE:
        return
    crlf = body.replace(b"\n", b"\r\n")
    yield "CRLF", in_pieces(dialect, crlf, len(crlf))
    yield "CRLF byte by byte", in_pieces(dialect, crlf)
    yield "CR", in_pieces(dialect, body.replace(b"\n", b"\r"), 7)
    yield "a byte order mark", in_pieces(dialect, b"\xef\xbb\xbf" + body, 2)
    yield "comments", in_pieces(dialect, b": hi\n\n" + body.replace(b"\n\n", b"\n\n: again\n\n"), 50)
    yield "other fields", in_pieces(dialect, body.replace(b"data: ", b": c\nid: 7\nretry: 3\ndata: "), 50)
    yield "no space", in_pieces(dialect, body.replace(b"data: ", b"data:"), 50)
    yield "no blank line at its end", in_pieces(dialect, body.rstrip(b"\n"), 50)
    yield "a line end and no blank line at its end", in_pieces(dialect, body.rstrip(b"\n") + b"\n", 50)
    yield "data in several lines", in_pieces(dialect, body.replace(b'data: {"', b'data: {\ndata: "'), 50)


ODD = [
    pytest.param(client, dialect, steps, id=f"{client}-from-{dialect.name}-{name}")
    for client, dialect in PAIRS[:6]
    for name, steps in odd(dialect)
    if not (dialect is GEMINI and name == "data behind its end")  # it has no end to be behind of
]


@pytest.mark.parametrize(("client", "dialect", "steps"), ODD)
async def test_a_whole_stream_is_whole_however_it_is_sent(client: str, dialect: Dialect, steps: Sequence[Step]) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will(*steps)
        response = await ask(gw, client)
        assert complete(client, gw, response)
        assert said(client, response) == "Hello"
        assert (gw.log()["prompt_tokens"], gw.log()["completion_tokens"]) == (9, 5)
        assert "estimated" not in gw.log()


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, GEMINI], ids=lambda dialect: dialect.name)
async def test_an_event_of_megabytes_passes(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will(*in_pieces(dialect, b"".join(dialect.events).replace(b'"lo"', b'"lo%b"' % (b"x" * 3_000_000)), 100_000))
        response = await ask(gw, "chat")
        assert complete("chat", gw, response)
        assert len(said("chat", response)) == 3_000_005


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", ""])
@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, GEMINI], ids=lambda dialect: dialect.name)
async def test_an_error_in_json_under_a_good_status_is_that_error(dialect: Dialect, content_type: str) -> None:
    body = json.dumps(dialect.error).encode()
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will(whole(body, content_type=content_type) if content_type else whole(body))
        response = await ask(gw, "chat")
        assert (response.status_code, response.json()["error"]["message"]) == (429, "boom")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_a_whole_answer_where_a_stream_was_asked_for_is_called_so(dialect: Dialect) -> None:
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will_answer(dialect.whole)
        response = await ask(gw, "chat")
        assert response.status_code == 502
        assert "a stream was asked for and JSON came" in response.text


async def test_an_error_that_lacks_only_its_last_line_end_is_that_error() -> None:
    reported = event({"error": {"message": "boom", "type": "server_error"}}).rstrip(b"\n")
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(*CHAT.stream([*CHAT.events[:2], reported]))
        response = await ask(gw, "chat")
        assert (said("chat", response), "boom" in response.text) == ("Hello", True)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_what_the_clients_dialect_has_no_words_for_is_no_success(dialect: Dialect) -> None:
    """A tool call in a text completion: the client was told of an error, and the log of a success."""
    async with upstream() as up, gateway([dialect.deployment(up)]) as gw:
        up.will(*dialect.stream())
        response = await ask(gw, "completions")
        assert "has no place in a text completion" in response.text
        assert "[DONE]" not in response.text
        assert gw.log()["error"] == "upstream_protocol"


# --- Answers that are not streamed --------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_a_whole_answer_that_is_cut_anywhere_is_an_error(dialect: Dialect) -> None:
    body = json.dumps(dialect.whole).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    async with upstream() as up, gateway([dialect.deployment(up)], breaker=NEVER) as gw:
        for offset in range(0, len(body), 37):
            for steps in (
                (head + b"\r\n", body[:offset], Cut()),
                (head + b"content-length: %d\r\n\r\n" % len(body), body[:offset], Cut()),
                (head + b"transfer-encoding: chunked\r\n\r\n", chunk(body[:offset]) if offset else b"", END),
            ):
                up.scripts.clear()
                up.will(*steps)
                response = await gw.chat()
                assert response.status_code == 502, (offset, steps)
                assert gw.log()["error"] in ("stream_broken", "upstream_protocol")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_whole_answer_may_be_compressed_and_have_no_length(coding: str) -> None:
    packed = (gzip if coding == "gzip" else zlib).compress(json.dumps(CHAT.whole).encode())
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: %b\r\n\r\n" % coding.encode()
    async with upstream() as up, gateway([deployment(up.base_url)], breaker=NEVER) as gw:
        up.will(head, packed, Cut())
        assert (await gw.chat()).json()["usage"] == CHAT.whole["usage"]
        for offset in range(1, len(packed), 20):
            up.scripts.clear()
            up.will(head, packed[:offset], Cut())
            assert (await gw.chat()).status_code == 502


BUSY = b'{"error": {"message": "come back later", "type": "requests", "code": "rate_limit_exceeded"}}'


@pytest.mark.parametrize(
    "rest",
    [(BUSY, Cut()), (BUSY[:30], Cut()), (BUSY[:30], Reset()), (Cut(),)],
    ids=["only its length is wrong", "closed in the middle", "reset in the middle", "closed before it"],
)
async def test_an_error_whose_body_breaks_off_is_the_error_that_its_status_says(rest: Sequence[Step]) -> None:
    head = b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n"
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        up.will(head, *rest)
        response = await gw.chat()
        assert (response.status_code, response.headers["retry-after"]) == (429, "7")
        if rest[0] == BUSY:
            assert response.json()["error"]["message"] == "come back later"


async def test_a_connection_that_died_while_it_was_idle_costs_no_attempt_and_no_mark() -> None:
    async with upstream() as up, gateway([deployment(up.base_url)]) as gw:
        answer = whole(json.dumps(CHAT.whole).encode(), content_type="application/json")
        up.will(answer)
        up.will(Cut())
        up.will(answer)
        for _ in range(2):
            assert (await gw.chat()).status_code == 200
            assert gw.log()["attempts"] == 1
        assert len(up.requests) == 3
        assert gw.health.view(["m/1"])["m/1"].error_ratio == 0
