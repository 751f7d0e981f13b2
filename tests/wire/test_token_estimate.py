"""The estimate errs on the high side; the providers' own figures in the recordings are the judge."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.anthropic_messages.recordings import ALL, Recorded, needs_recordings

from pllm.core.jsontext import loads
from pllm.wire.anthropic_messages import decode_count_request
from pllm.wire.neutral import (
    Audio,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.token_estimate import estimate_tokens


def ask(*parts: Any, **fields: Any) -> Request:
    return Request("m", (Message("user", parts or (Text("hello"),)),), **fields)


def counted(recorded: Recorded) -> int | None:
    """What Anthropic counted as the prompt, cached tokens included."""
    if recorded.status != 200 or not {"model", "messages"} <= recorded.request.keys():
        return None
    first = next((line for line in recorded.body.splitlines() if b"message_start" in line and line.startswith(b"data:")), None)
    answer = loads(first[5:])["message"] if first else None if recorded.stream else loads(recorded.body)
    usage = (answer.get("usage") or answer) if isinstance(answer, dict) else {}
    if "input_tokens" not in usage:
        return None
    return int(sum(usage.get(name) or 0 for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")))


def _is_whole(recorded: Recorded) -> bool:
    """Whether everything that was counted stands in the request: a server tool's results, made meanwhile, do not."""
    tools = recorded.request.get("tools") or []
    return "mcp_servers" not in recorded.request and all(tool.get("type", "custom") == "custom" for tool in tools)


@needs_recordings
def test_no_recorded_request_has_more_tokens_than_estimated() -> None:
    judged = 0
    for recorded in ALL:
        tokens = counted(recorded)
        if tokens is None or not _is_whole(recorded):
            continue
        estimated = estimate_tokens(decode_count_request(recorded.request))
        assert estimated >= tokens, (recorded.name, estimated, tokens)
        judged += 1
    assert judged >= 40


@settings(deadline=None, max_examples=60)
@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(one: str, other: str) -> None:
    assert estimate_tokens(ask(Text(one + other))) >= max(estimate_tokens(ask(Text(one))), estimate_tokens(ask(Text(other))))


@pytest.mark.parametrize(
    "part",
    [
        Image(Inline(b"x", "image/png")),
        Image(Url("https://x.example/a.png")),
        Document(Inline(b"%PDF-1.4 /Type /Page /Type /Pages /Type/Page\n", "application/pdf")),
        Document(Inline(b"words " * 99, "text/plain")),
        Document(FileId("f")),
        Audio(Inline(b"x" * 16_000, "audio/wav"), "wav"),
        ToolCall("c", "f", '{"a": 1}'),
        ToolResult("c", (Text("x"), Image(Inline(b"x", "image/png")))),
    ],
)
def test_every_kind_of_part_counts(part: Any) -> None:
    assert estimate_tokens(ask(Text("hello"), part)) > estimate_tokens(ask(Text("hello"))) + 20


def test_a_pdf_counts_by_its_pages() -> None:
    pages = [estimate_tokens(ask(Document(Inline(b"%PDF-" + b" /Type /Page " * n, "application/pdf")))) for n in (1, 2, 3)]
    assert pages[2] - pages[1] == pages[1] - pages[0] > 1_000


@pytest.mark.parametrize(
    "more",
    [
        {"system": (Text("Be brief."),)},
        {"tools": (Tool("f", "F.", {"type": "object"}),)},
        {"tools": (Tool("f", dialect="messages", raw={"type": "web_search_20250305", "name": "web_search"}),)},
        {"reasoning": Reasoning(True, budget_tokens=1024)},
        {"response_format": ResponseFormat("json_schema", {"type": "object"}, "x")},
    ],
)
def test_what_surrounds_the_messages_counts(more: dict[str, Any]) -> None:
    assert estimate_tokens(ask(**more)) > estimate_tokens(ask())


def test_half_a_surrogate_pair_is_survived() -> None:
    assert estimate_tokens(ask(Text("\ud83d"))) > 0
