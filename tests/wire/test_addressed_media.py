"""Which media an upstream wants as bytes, and the request with the bytes in it (translation case 21)."""

import pytest

from pllm.wire.addressed_media import Wanted, wanted, with_bytes
from pllm.wire.anthropic_messages import url_sources, with_inline_sources
from pllm.wire.lane import Quirks
from pllm.wire.lanes import upstream_wire
from pllm.wire.neutral import Audio, Document, Image, Inline, Message, Request, Text, ToolResult, Url

PNG, PDF, MP3 = Inline(b"png", "image/png"), Inline(b"%PDF-", "application/pdf"), Inline(b"ID3", "audio/mpeg")
A, B, C, D = (f"https://x.example/{name}" for name in ("a.png", "b%20c.pdf", "c.mp3", "d.png"))
REQUEST = Request(
    "m",
    (
        Message("user", (Text("see"), Image(Url(A)), Document(Url(B)), Audio(Url(C))), "messages[0]"),
        Message("user", (ToolResult("t", (Image(Url(D)), Text("x"))), Image(PNG)), "messages[2]"),
    ),
)


@pytest.mark.parametrize(
    ("dialect", "urls"),
    [("converse", [A, B, C, D]), ("gemini", [A, B, C, D]), ("chat", [B, C]), ("messages", [])],
)
def test_case_21_only_what_the_upstream_cannot_take_by_address_is_fetched(dialect: str, urls: list[str]) -> None:
    assert [one.url for one in wanted(REQUEST, upstream_wire(dialect), Quirks())] == urls


def test_a_provider_may_want_more_bytes_than_its_dialect() -> None:
    vertex = Quirks(needs_bytes=frozenset({"image", "document"}))
    assert wanted(REQUEST, upstream_wire("messages"), vertex) == [
        Wanted(A, "image", "messages[0]"),
        Wanted(B, "document", "messages[0]"),
        Wanted(D, "image", "messages[2]"),
    ]


@pytest.mark.parametrize(("dialect", "url"), [("converse", "s3://bucket/key.png"), ("gemini", "gs://bucket/key.png")])
def test_addresses_that_the_provider_resolves_itself_stay(dialect: str, url: str) -> None:
    request = Request("m", (Message("user", (Image(Url(url)), Image(Url(A)))),))
    assert [one.url for one in wanted(request, upstream_wire(dialect), Quirks())] == [A]


def test_bytes_take_the_place_of_addresses_everywhere_and_nothing_else_changes() -> None:
    got = with_bytes(REQUEST, {A: PNG, B: PDF, C: MP3, D: PNG})
    assert got.messages[0].parts == (Text("see"), Image(PNG), Document(PDF, "b c.pdf"), Audio(MP3, "mp3"))
    assert got.messages[1].parts == (ToolResult("t", (Image(PNG), Text("x"))), Image(PNG))
    assert with_bytes(REQUEST, {}) == REQUEST
    assert REQUEST.messages[0].parts[1] == Image(Url(A))


BODY = {
    "model": "m",
    "unknown": {"kept": True},
    "messages": [
        {"role": "user", "content": "text"},
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": A}, "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "document", "source": {"type": "url", "url": B}}],
                },
                {"type": "web_page", "source": {"type": "url", "url": C}},
                {"type": "image", "source": {"type": "url"}},
                "odd",
            ],
        },
    ],
}


def test_url_sources_of_a_messages_body_are_found_where_they_stand() -> None:
    assert url_sources(BODY) == [
        Wanted(A, "image", "messages[1].content[0]"),
        Wanted(B, "document", "messages[1].content[2].content[0]"),
    ]
    assert url_sources({"messages": "wrong"}) == []


def test_their_bytes_take_their_place_and_every_other_field_stays() -> None:
    got = with_inline_sources(BODY, {A: PNG, B: Inline(b"words", "text/markdown")})
    blocks = got["messages"][1]["content"]
    assert blocks[0] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"},
        "cache_control": {"type": "ephemeral"},
    }
    text = {"type": "text", "media_type": "text/plain", "data": "words"}
    assert blocks[2]["content"] == [{"type": "document", "source": text}]
    before = BODY["messages"][1]["content"]  # type: ignore[index]
    assert [blocks[n] for n in (1, 3, 4, 5)] == [before[n] for n in (1, 3, 4, 5)]
    assert got["unknown"] == {"kept": True}
    assert before[0]["source"] == {"type": "url", "url": A}
