"""Every recorded Messages exchange is understood, folds to what it says, and survives the way back."""

import json
from dataclasses import replace

import pytest
from tests.wire.anthropic_messages.judge import CONTEXT, ENCODED, ask, check_grammar, decode_stream, events_of, target
from tests.wire.anthropic_messages.recordings import (
    ALL,
    ANSWERS,
    COUNTS,
    ERRORS,
    REQUESTS,
    STREAMS,
    Recorded,
    find,
    named,
    needs_recordings,
)

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.anthropic_messages import (
    MessagesLane,
    client,
    count_tokens_request,
    decode_count_request,
    decode_token_count,
    encode_count_tokens,
    upstream,
)
from pllm.wire.folding import fold, unfold
from pllm.wire.neutral import Choice, Citation, Opaque, Refusal, Text, Thinking, ToolCall

pytestmark = [pytest.mark.needs_cassettes, needs_recordings]


def test_there_are_recordings_of_each_kind() -> None:
    assert len(ANSWERS) > 60 and len(STREAMS) > 25 and len(REQUESTS) > 80 and COUNTS and ERRORS


@named(ANSWERS)
def test_a_recorded_answer_says_the_same_after_the_way_to_the_client_and_back(recorded: Recorded) -> None:
    response = upstream.decode(recorded.body, ENCODED)
    body = json.loads(recorded.body)
    assert [block["text"] for block in body["content"] if block["type"] == "text" and block["text"]] == [
        part.text for part in response.choices[0].parts if isinstance(part, Text)
    ]
    assert response.usage is not None
    assert response.usage.output >= body["usage"]["output_tokens"]
    back = upstream.decode(client.encode(response, ask(), CONTEXT), ENCODED)
    assert back.choices == response.choices
    assert fold(unfold(response)) == response


@named(STREAMS)
def test_a_recorded_stream_folds_to_the_buffered_answer_at_any_chunk_size(recorded: Recorded) -> None:
    events = decode_stream(recorded.body)
    response = fold(events)
    assert response.usage is not None and response.usage.output > 0
    for size in (1, 7, 100):
        assert decode_stream(recorded.body, size) == events
    buffered = upstream.decode(client.encode(response, ask(), CONTEXT), ENCODED)
    assert _canonical(buffered.choices) == _canonical(response.choices)
    written = client.encoder(ask(), CONTEXT).feed(events)
    assert fold(decode_stream(written)).choices == response.choices


@named(STREAMS)
def test_a_recorded_stream_passes_the_lane_byte_for_byte_and_is_metered(recorded: Recorded) -> None:
    relay = MessagesLane({"model": "m", "messages": []}, target()).relay()
    passed = b"".join(relay.feed(recorded.body[at : at + 50]) for at in range(0, len(recorded.body), 50)) + relay.close()
    assert passed.strip() == recorded.body.replace(b"\r\n", b"\n").strip()
    assert relay.opened and relay.finished and relay.error is None
    response = fold(decode_stream(recorded.body))
    assert (relay.usage, relay.finish) == (response.usage, response.choices[0].finish)


@named(STREAMS)
def test_a_recorded_stream_is_re_encoded_in_the_exact_grammar(recorded: Recorded) -> None:
    events = events_of(client.encoder(ask(), CONTEXT).feed(decode_stream(recorded.body)))
    beta = ("mcp", "advisor", "compaction", "tool_search", "text_editor_code", "bash_code", "citation", "web_", "server_tool")
    if not any(word in recorded.body.decode() for word in beta):
        check_grammar(events)
    assert [event["type"] for event in events].count("message_start") == 1
    assert events[-1] == {"type": "message_stop"}


@named(REQUESTS)
def test_a_recorded_request_decodes_and_stays_itself_in_the_lane(recorded: Recorded) -> None:
    request = decode_count_request(recorded.request) if recorded.counting else client.decode(_with_model(recorded))
    assert len(request.messages) == len(recorded.request["messages"])
    if recorded.counting:
        sent = count_tokens_request(recorded.request, target())
    else:
        sent = MessagesLane(_with_model(recorded), target()).request
    body = json.loads(sent.body)
    assert body == {**_with_model(recorded), "model": "claude-upstream"}


@named(REQUESTS)
def test_a_recorded_request_is_re_encoded_whole_or_refused_by_name(recorded: Recorded) -> None:
    request = decode_count_request(recorded.request) if recorded.counting else client.decode(_with_model(recorded))
    try:
        upstream.encode(request, target())
    except GatewayError as error:
        assert error.status == 400 and error.param
    again = json.loads(upstream.encode(request, target(drop_unsupported=True, repair_history=True)).request.body)
    kept = json.dumps(again["messages"], ensure_ascii=False)
    for message in recorded.request["messages"]:
        content = message["content"]
        words = [content] if isinstance(content, str) else [block.get("text", "") for block in content]
        assert all(json.dumps(text.rstrip(), ensure_ascii=False)[1:-1] in kept for text in words if text.strip())


def _with_model(recorded: Recorded) -> dict[str, object]:
    """Bedrock names the model in the address."""
    return recorded.request if "model" in recorded.request else {**recorded.request, "model": "claude"}


@named(COUNTS)
def test_a_recorded_token_count_is_read(recorded: Recorded) -> None:
    assert decode_token_count(recorded.body) == json.loads(recorded.body)["input_tokens"]
    request = decode_count_request(recorded.request)
    assert encode_count_tokens(request, target(drop_unsupported=True)).path == "messages/count_tokens"


@named(ERRORS)
def test_a_recorded_error_is_classed(recorded: Recorded) -> None:
    error = upstream.error(recorded.status, recorded.headers, recorded.body)
    expected = {400: ErrorKind.INVALID_REQUEST, 401: ErrorKind.UPSTREAM_AUTH, 404: ErrorKind.MODEL_NOT_FOUND}
    assert error.kind is expected[recorded.status]
    assert error.upstream_status == recorded.status
    assert json.loads(recorded.body)["error"]["message"] in error.message


def test_case_10_the_recorded_redacted_stream_keeps_its_encrypted_block() -> None:
    response = fold(decode_stream(find("thinking-part-redacted-stream").body))
    assert any(isinstance(part, Thinking) and part.redacted for part in response.choices[0].parts)


def test_case_13_the_recorded_refusals_keep_their_text() -> None:
    for name in ("vercel-ai--anthropic-refusal#", "vercel-ai--anthropic-refusal.chunks"):
        recorded = find(name)
        response = fold(decode_stream(recorded.body)) if recorded.stream else upstream.decode(recorded.body, ENCODED)
        choice = response.choices[0]
        assert choice.finish == "refusal"
        assert isinstance(choice.parts[-1], Refusal) and "Usage Policy" in choice.parts[-1].text


def test_case_15_the_recorded_compaction_is_charged_on_top() -> None:
    usage = upstream.decode(find("compaction-usage-with-cache").body, ENCODED).usage
    assert usage is not None
    assert (usage.input, usage.cache_write_5m, usage.output) == (329, 55096, 136)


def test_case_15_the_recorded_cache_stream_keeps_what_message_start_said() -> None:
    usage = fold(decode_stream(find("test-anthropic-prompt-caching-stream-legacy").body)).usage
    assert usage is not None
    assert usage.cache_write_5m > 1000 and usage.output == 201


def test_server_tools_travel_as_opaque_blocks_and_citations_keep_their_source() -> None:
    parts = fold(decode_stream(find("llm-anthropic--test-anthropic--test-web-search").body)).choices[0].parts
    assert any(isinstance(part, Opaque) and part.type == "web_search_tool_result" for part in parts)
    cited: list[Citation] = [c for part in parts if isinstance(part, Text) for c in part.citations]
    assert cited and all(c.url and c.raw for c in cited)
    assert not any(isinstance(part, ToolCall) for part in parts)


def test_recordings_are_all_accounted_for() -> None:
    assert {r.name for r in (*STREAMS, *ANSWERS, *COUNTS, *ERRORS)} == {r.name for r in ALL}


def _canonical(choices: tuple[Choice, ...]) -> list[object]:
    """Streams keep the spacing of arguments as the model wrote them; as JSON they are the same."""
    return [replace(p, arguments=json.loads(p.arguments)) if isinstance(p, ToolCall) else p for p in choices[0].parts]
