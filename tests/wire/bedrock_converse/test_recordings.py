"""What Bedrock really answered: decoded, folded, and compared with what botocore reads from the same bytes."""

import json
from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, answer_by_botocore, read_by_botocore, sent, target, user
from tests.wire.bedrock_converse.recordings import Recording, recordings

from pllm.core.errors import ErrorKind
from pllm.wire.bedrock_converse import upstream
from pllm.wire.bedrock_converse.stream import ConverseDecoder
from pllm.wire.eventstream import EventStreamDecoder
from pllm.wire.folding import fold
from pllm.wire.lane import WireRequest
from pllm.wire.neutral import End, Failure, Message, Request, Response, Text, Thinking, ToolCall
from pllm.wire.translator import Encoded

pytestmark = pytest.mark.needs_cassettes

ALL = recordings()
STREAMS = [found for found in ALL if found.stream and found.status == 200]
ANSWERS = [found for found in ALL if not found.stream and found.status == 200]
ERRORS = [found for found in ALL if found.status != 200]

ENCODED = Encoded(WireRequest("model/m/converse", b"{}", "m", stream=False))


def named(found: Recording) -> str:
    return found.name


def folded(frames: bytes) -> Response:
    decoder = ConverseDecoder("m")
    return fold([*decoder.feed(frames), *decoder.close()])


def text_of(response: Response) -> str:
    return "".join(part.text for part in response.choices[0].parts if isinstance(part, Text))


def test_there_are_recordings_of_every_kind() -> None:
    assert len(STREAMS) >= 14
    assert len(ANSWERS) >= 50
    assert len(ERRORS) >= 5


@pytest.mark.parametrize("found", STREAMS, ids=named)
def test_a_recorded_stream_folds_to_what_botocore_reads_from_it(found: Recording) -> None:
    events = read_by_botocore(found.body)
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    (stopped,) = (event["messageStop"] for event in events if "messageStop" in event)
    (metadata,) = (event["metadata"] for event in events if "metadata" in event)
    response = folded(found.body)
    assert text_of(response) == "".join(delta.get("text", "") for delta in deltas)
    thought = "".join(part.text for part in response.choices[0].parts if isinstance(part, Thinking))
    assert thought == "".join(delta.get("reasoningContent", {}).get("text", "") for delta in deltas)
    assert response.usage is not None
    assert (response.usage.prompt, response.usage.output) == (
        metadata["usage"]["inputTokens"]
        + metadata["usage"].get("cacheReadInputTokens", 0)
        + metadata["usage"].get("cacheWriteInputTokens", 0),
        metadata["usage"]["outputTokens"],
    )
    assert response.choices[0].finish == FINISHES[stopped["stopReason"]]


FINISHES = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
}


@pytest.mark.parametrize("found", STREAMS, ids=named)
def test_case_18_every_recorded_stream_ends_with_message_stop_and_metadata(found: Recording) -> None:
    """The evidence for what End means: nothing but these two together proves that a stream is whole."""
    frames = EventStreamDecoder().feed(found.body)
    assert [frame.text(":event-type") for frame in frames[-2:]] == ["messageStop", "metadata"]


@pytest.mark.parametrize("found", STREAMS, ids=named)
def test_case_18_a_recorded_stream_cut_at_any_frame_or_inside_one_is_a_failure(found: Recording) -> None:
    whole = EventStreamDecoder()
    ends = [at + 1 for at in range(len(found.body)) if whole.feed(found.body[at : at + 1])]
    for cut in {0, *ends[:-1], *(end - 5 for end in ends)}:
        broken = ConverseDecoder("m")
        events = [*broken.feed(found.body[:cut]), *broken.close()]
        assert isinstance(events[-1], Failure)
        assert events[-1].error.kind is ErrorKind.STREAM_BROKEN
        assert not any(isinstance(event, End) for event in events)


@pytest.mark.parametrize("found", ANSWERS, ids=named)
def test_a_recorded_answer_means_what_botocore_reads_in_it(found: Recording) -> None:
    judged = answer_by_botocore(found.body)
    blocks: list[dict[str, Any]] = judged["output"]["message"]["content"]
    response = upstream.decode(found.body, ENCODED)
    (choice,) = response.choices
    assert choice.finish == FINISHES[judged["stopReason"]]
    said = [
        piece
        for block in blocks
        for piece in ([block] if "text" in block else block.get("citationsContent", {}).get("content", []))
    ]
    assert text_of(response) == "".join(piece["text"] for piece in said)
    calls = [block["toolUse"] for block in blocks if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use"]
    assert [(call.id, call.name, json.loads(call.arguments)) for call in choice.parts if isinstance(call, ToolCall)] == [
        (call["toolUseId"], call["name"], call["input"]) for call in calls
    ]
    assert response.usage is not None
    assert response.usage.total == judged["usage"]["totalTokens"]


@pytest.mark.parametrize("found", ANSWERS, ids=named)
def test_case_10_recorded_reasoning_goes_back_as_it_came(found: Recording) -> None:
    response = upstream.decode(found.body, ENCODED)
    thoughts = [part for part in response.choices[0].parts if isinstance(part, Thinking) and (part.signature or part.redacted)]
    recorded = [
        block
        for block in json.loads(found.body)["output"]["message"]["content"]
        if block.get("reasoningContent", {}).get("redactedContent")
        or block.get("reasoningContent", {}).get("reasoningText", {}).get("signature")
    ]
    history = (user("hi"), Message("assistant", (*thoughts, Text("so")), "messages[1]"), user("on"))
    body = sent(Request("m", history, max_tokens=10), target(CLAUDE_45))
    assert [block for block in body["messages"][1]["content"] if "reasoningContent" in block] == recorded


@pytest.mark.parametrize("found", ERRORS, ids=named)
def test_case_25_recorded_errors_are_recognised(found: Recording) -> None:
    error = upstream.error(found.status, found.headers, found.body)
    expected = ErrorKind.UPSTREAM_AUTH if found.status == 403 else ErrorKind.INVALID_REQUEST
    assert error.kind is expected
    assert error.upstream_status == found.status
    assert error.message == json.loads(found.body)["message"]
