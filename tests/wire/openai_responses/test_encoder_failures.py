"""Case 17 and 18 in the Responses dialect: what breaks ends as failed, and the official SDK raises."""

import json
from collections.abc import Callable

import pytest
from openai import APIError, OpenAI
from tests.wire.openai_responses.encoded import CONTEXT, Events, answer, asked, names, stream

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.wire.folding import unfold
from pllm.wire.neutral import Failure, Start, Text, TextDelta, Thinking, ToolCall
from pllm.wire.openai_responses import client

CALLS = answer(Thinking("Hm.", "SIG", origin="anthropic"), Text("Hello"), ToolCall("c1", "f", '{"a":1}'), finish="tool_calls")


@pytest.mark.parametrize("position", range(1, len(unfold(CALLS))))
def test_case_18_a_stream_that_breaks_anywhere_ends_as_failed_and_nothing_after(position: int, strict_events: Events) -> None:
    encoder = client.encoder(asked(), CONTEXT)
    written = encoder.feed(unfold(CALLS)[:position])
    written += encoder.feed([Failure(broken_stream("it was cut")), *unfold(CALLS)[position:]])
    found = strict_events(written)
    assert names(found)[-2:] == ["error", "failed"]
    assert "completed" not in names(found)
    assert found[-1]["response"]["status"] == "failed"
    assert found[-1]["response"]["error"]["code"] == "server_error"
    assert encoder.response is None


def test_case_18_what_had_come_stands_in_the_failed_response_as_incomplete(events: Events) -> None:
    written = stream([Start(), TextDelta(0, "Hel"), Failure(broken_stream("it was cut"))])
    (message,) = events(written)[-1]["response"]["output"]
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", "Hel")


def test_case_17_the_official_sdk_raises_on_a_broken_stream(sdk: Callable[[bytes], OpenAI]) -> None:
    written = stream([Start(), TextDelta(0, "Hel"), Failure(broken_stream("it was cut"))])
    with (
        pytest.raises(APIError, match="it was cut"),
        sdk(written).responses.stream(model="m", input="Hi") as live,
    ):
        for _ in live:
            pass


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.RATE_LIMITED, "rate_limit_exceeded"),
        (ErrorKind.CONTENT_POLICY, "invalid_prompt"),
        (ErrorKind.UPSTREAM_TIMEOUT, "server_error"),
    ],
)
def test_case_17_the_failed_response_names_the_class_and_the_event_the_exact_code(
    kind: ErrorKind, code: str, strict_events: Events
) -> None:
    error = GatewayError(kind, "No.", code="exact", param="input")
    event, failed = strict_events(stream([Start(), Failure(error)]))[-2:]
    assert (event["code"], event["message"], event["param"]) == ("exact", "No.", "input")
    assert event["error"]["code"] == "exact"
    assert failed["response"]["error"] == {"code": code, "message": "No."}


def test_an_error_body_is_openais() -> None:
    body = json.loads(client.error(GatewayError(ErrorKind.RATE_LIMITED, "Slow down.")))
    assert body == {
        "error": {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    }
