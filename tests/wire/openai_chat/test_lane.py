"""The same-dialect lane: what is edited, what is not, and when a stream counts as whole."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from tests.wire.openai_chat.recordings import ANSWERS, STREAMS, Recorded, find, named, needs_recordings

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Lane, Quirks, Relay, Target
from pllm.wire.openai_chat import ChatLane
from pllm.wire.openai_chat.edit import needs_translation

HELLO: JsonObject = {"model": "public", "messages": [{"role": "user", "content": "Hi"}]}
TARGET = Target("upstream-model", "public", "openai")


def lane(body: JsonObject | None = None, target: Target = TARGET, **fields: Any) -> ChatLane:
    return ChatLane({**HELLO, **(body or {}), **fields}, target)


def sent(made: Lane) -> JsonObject:
    return dict(json.loads(made.request.body))


def chunk(delta: JsonObject | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **fields}
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
USAGE_CHUNK = chunk(usage=USAGE, choices=[])
DONE = b"data: [DONE]\n\n"
WHOLE = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), chunk({}, "stop"), USAGE_CHUNK, DONE)


def play(relay: Relay, data: bytes, size: int = 0) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)] if size else [data]
    return b"".join(relay.feed(piece) for piece in pieces) + relay.close()


def events(stream: bytes) -> list[Any]:
    return [json.loads(block[6:]) for block in stream.split(b"\n\n") if block.startswith(b"data: {")]


# --- The request ----------------------------------------------------------------------------------------------------


def test_the_model_is_renamed_and_everything_else_survives_in_its_order() -> None:
    made = lane(stop="END", some_new_field={"x": [1]}, temperature=0.5)
    assert made.request.path == "chat/completions"
    assert json.loads(made.request.body) == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Hi"}],
        "stop": "END",
        "some_new_field": {"x": [1]},
        "temperature": 0.5,
    }
    assert list(sent(made)) == ["model", "messages", "stop", "some_new_field", "temperature"]


def test_the_clients_body_is_left_alone() -> None:
    body: JsonObject = {**HELLO, "stream": True, "stream_options": {"include_usage": False}}
    before = json.dumps(body)
    ChatLane(body, TARGET)
    assert json.dumps(body) == before


def test_a_provider_that_names_the_model_in_its_address_gets_none_in_the_body() -> None:
    assert "model" not in sent(lane(target=Target("m", "public", "azure", quirks=Quirks(model_in_body=False))))


def test_configured_defaults_hold_only_where_the_client_is_silent() -> None:
    target = Target("m", "public", "p", defaults={"temperature": 0.1, "top_p": 0.9, "max_tokens": 50})
    body = sent(lane(target=target, temperature=1.5, top_p=None, max_completion_tokens=9))
    assert (body["temperature"], body["top_p"], body["max_completion_tokens"]) == (1.5, 0.9, 9)
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("spelling", "other"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_case_24_an_output_cap_goes_into_the_field_that_the_provider_knows(spelling: str, other: str) -> None:
    target = Target("m", "public", "p", quirks=Quirks(token_cap=spelling))
    for name in (spelling, other):
        body = sent(lane({name: 12}, target))
        assert body[spelling] == 12
        assert other not in body


def test_case_24_a_model_that_refuses_one_spelling_of_the_cap_gets_the_other() -> None:
    profile = ModelProfile(refused_params=frozenset({"max_tokens"}))
    body = sent(lane(target=Target("o1", "public", "p", profile=profile), max_tokens=5))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


def test_case_24_two_caps_that_disagree_are_refused() -> None:
    with pytest.raises(GatewayError, match="contradict"):
        lane(max_tokens=1, max_completion_tokens=2)


@pytest.mark.parametrize(("name", "value"), [("logit_bias", {"5": 1}), ("n", 2), ("logprobs", True), ("seed", 4)])
def test_case_23_a_refused_parameter_is_a_400_naming_it_and_the_model(name: str, value: object) -> None:
    target = Target("m", "public-name", "p", quirks=Quirks(refused=frozenset({name})))
    with pytest.raises(GatewayError, match="public-name") as caught:
        lane({name: value}, target)
    assert (caught.value.status, caught.value.param, caught.value.kind) == (400, name, ErrorKind.UNSUPPORTED_PARAMETER)


def test_case_23_or_it_is_dropped_and_reported_where_the_operator_says_so() -> None:
    profile = ModelProfile(refused_params=frozenset({"seed"}))
    made = lane(target=Target("m", "public", "p", profile=profile, drop_unsupported=True), seed=4, user="u")
    assert made.dropped == ("seed",)
    assert "seed" not in sent(made)
    assert sent(made)["user"] == "u"


@pytest.mark.parametrize(("name", "value"), [("n", 1), ("logprobs", False), ("seed", None), ("presence_penalty", 0)])
def test_case_23_a_refused_parameter_that_says_nothing_is_left_out_without_a_fuss(name: str, value: object) -> None:
    made = lane({name: value}, Target("m", "public", "p", quirks=Quirks(refused=frozenset({name}))))
    assert name not in sent(made)
    assert made.dropped == ()


def test_case_23_a_model_without_tools_refuses_them_by_name() -> None:
    with pytest.raises(GatewayError) as caught:
        lane(tools=[{"type": "function"}], target=Target("m", "p", "p", profile=ModelProfile(supports_tools=False)))
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "user"}, {"content": "x"}]}, "messages[1].role"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": [1]}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"tools": {}}, "tools"),
    ],
)
def test_a_body_the_gateway_cannot_use_is_a_400_naming_the_field(body: JsonObject, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_case_19_a_schema_that_must_be_imitated_is_not_for_this_lane() -> None:
    to = Target("m", "p", "p", profile=ModelProfile(structured_output="tool"))
    wanted = {**HELLO, "response_format": {"type": "json_schema", "json_schema": {}}}
    assert needs_translation(wanted, to)
    assert not needs_translation(wanted, TARGET)
    assert not needs_translation({**HELLO, "response_format": {"type": "json_object"}}, to)


# --- Usage (case 16) ------------------------------------------------------------------------------------------------


def test_case_16_usage_is_asked_for_upstream_whatever_the_client_said() -> None:
    for options in (None, {}, {"include_usage": False}, {"include_usage": True, "include_obfuscation": False}):
        made = sent(lane(stream=True, stream_options=options))
        assert made["stream_options"] == {**(options or {}), "include_usage": True}
    assert "stream_options" not in sent(lane())


def test_case_16_a_provider_that_cannot_be_asked_is_not_asked() -> None:
    target = Target("m", "p", "mistral", quirks=Quirks(stream_usage=False))
    assert "stream_options" not in sent(lane(target=target, stream=True, stream_options={"include_usage": True}))


def test_case_16_a_client_that_did_not_ask_sees_no_usage_while_we_meter() -> None:
    relay = lane(stream=True).relay()
    spaced = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"x, \\"usage\\":null"}}], "usage": null}\n\n'
    tight = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"\\",\\"usage\\":null"}}],"usage":null,"pad":1}\n\n'
    out = play(relay, WHOLE[0] + spaced + tight + b"".join(WHOLE[1:]))
    assert relay.usage is not None
    assert (relay.usage.prompt, relay.usage.output) == (7, 2)
    assert all("usage" not in event and event["choices"] for event in events(out))
    assert [e["choices"][0]["delta"].get("content") for e in events(out)][1:3] == ['x, "usage":null', '","usage":null']
    assert events(out)[2]["pad"] == 1
    assert out.endswith(DONE)


def test_case_16_a_client_that_asked_gets_everything_as_it_came() -> None:
    stream = b"".join((chunk({"content": "x"}, usage=None), chunk({}, "stop", usage=None), USAGE_CHUNK, DONE))
    relay = lane(stream=True, stream_options={"include_usage": True}).relay()
    assert play(relay, stream) == stream


def test_case_16_usage_on_a_chunk_with_choices_becomes_the_last_chunk_for_those_who_asked() -> None:
    stream = chunk({"content": "x"}) + chunk({}, "stop", usage=USAGE) + DONE
    out = play(lane(stream=True, stream_options={"include_usage": True}).relay(), stream)
    *earlier, last = events(out)
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all(event.get("usage") is None for event in earlier)


def test_case_16_azures_chunk_with_empty_choices_is_not_mistaken_for_usage() -> None:
    filters = chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}])
    assert events(play(lane(stream=True).relay(), filters + b"".join(WHOLE)))[0]["prompt_filter_results"]


# --- The stream -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40))
def test_a_stream_is_forwarded_as_received_at_any_chunk_boundary(size: int) -> None:
    relay = lane(stream=True).relay()
    stream = b": OPENROUTER PROCESSING\n\n" + b"".join(WHOLE)
    assert play(relay, stream, size) == b": OPENROUTER PROCESSING\n\n" + b"".join((*WHOLE[:3], DONE))
    assert (relay.opened, relay.finished, relay.error, relay.finish) == (True, True, None, "stop")


def test_comments_pass_and_open_nothing() -> None:
    relay = lane(stream=True).relay()
    assert relay.feed(b": OPENROUTER PROCESSING\n\n: keep-alive\n\n") == b": OPENROUTER PROCESSING\n\n: keep-alive\n\n"
    assert not relay.opened
    relay.feed(WHOLE[0])
    assert relay.opened


def test_nothing_after_the_end_marker_reaches_the_client() -> None:
    relay = lane(stream=True).relay()
    out = play(relay, b"".join(WHOLE) + chunk({"content": "late"}) + b"data: {broken")
    assert out.endswith(DONE)
    assert b"late" not in out
    assert relay.error is None


def test_an_end_marker_without_its_blank_line_still_ends_the_stream() -> None:
    relay = lane(stream=True).relay()
    assert play(relay, b"".join(WHOLE[:-1]) + b"data: [DONE]\n").endswith(DONE)
    assert relay.finished


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_case_18_a_cut_at_every_position_is_an_error_and_never_a_clean_end(cut: int) -> None:
    whole = b"".join(WHOLE)
    edge = len(b"".join(WHOLE[:cut]))
    for position in {edge, edge + 1, edge + 9, edge + len(WHOLE[cut]) - 3}:
        if whole[:position].rstrip().endswith(b"[DONE]"):
            continue
        relay = lane(stream=True).relay()
        out = play(relay, whole[:position])
        assert relay.error is not None, position
        assert relay.error.kind is ErrorKind.STREAM_BROKEN
        assert b"[DONE]" not in out
        assert not relay.finished


@pytest.mark.parametrize("at", range(len(WHOLE)))
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"data: {broken\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b"data: [1]\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"choices": {}}\n\n', ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"choices": [3]}\n\n', ErrorKind.UPSTREAM_PROTOCOL),
        (b"data: \xff\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b"<html>\n\n", ErrorKind.UPSTREAM_PROTOCOL),
        (b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n', ErrorKind.UPSTREAM_ERROR),
        (b'data: {"error": {"message": "slow down", "code": 429}}\n\n', ErrorKind.RATE_LIMITED),
        (b'event: error\ndata: {"message": "overloaded", "type": "overloaded_error"}\n\n', ErrorKind.UPSTREAM_OVERLOADED),
        (b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}\n\n', ErrorKind.UPSTREAM_ERROR),
    ],
)
def test_case_18_a_bad_event_at_every_position_is_an_error(at: int, event: bytes, kind: ErrorKind) -> None:
    relay = lane(stream=True).relay()
    out = play(relay, b"".join((*WHOLE[:at], event, *WHOLE[at:])))
    assert relay.error is not None
    assert relay.error.kind is kind
    assert relay.opened is (at > 0)
    assert b"[DONE]" not in out
    assert relay.feed(chunk({"content": "more"})) == relay.close() == b""
    last = events(relay.fail(relay.error))
    assert last[0]["error"]["message"] == relay.error.message


def test_case_18_an_end_marker_without_a_finish_reason_or_usage_is_a_break() -> None:
    for stream in (DONE, WHOLE[0] + DONE, chunk({"content": "x"}, index=0) + DONE):
        relay = lane(stream=True).relay()
        assert DONE not in play(relay, stream)
        assert relay.error is not None


def test_case_18_each_of_several_choices_must_have_finished() -> None:
    second = chunk(choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": None}])
    relay = lane(stream=True, n=2).relay()
    play(relay, WHOLE[0] + second + chunk({}, "stop") + DONE)
    assert relay.error is not None


def test_a_provider_known_to_send_no_end_marker_is_whole_once_all_choices_finished() -> None:
    target = Target("m", "p", "p", quirks=Quirks(done_marker=False))
    relay = lane(target=target, stream=True).relay()
    assert play(relay, WHOLE[0] + chunk({}, "stop")).endswith(DONE)
    assert relay.finished
    cut = lane(target=target, stream=True).relay()
    assert DONE not in play(cut, WHOLE[0] + chunk({}, "stop") + b"data: {")
    assert cut.error is not None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html>\n\n<html>data: x</html>", "HTML"),
        (b"<html><body>Bad gateway</body></html>", "HTML"),
        (b'{"id": "c1", "choices": []}', "JSON"),
        (b"upstream connect error", "event stream"),
        (b"", "closed"),
    ],
)
def test_an_answer_that_is_no_event_stream_is_an_error_before_anything_was_sent(body: bytes, words: str) -> None:
    relay = lane(stream=True).relay()
    assert play(relay, body) == b""
    assert relay.error is not None
    assert words in relay.error.message
    assert not relay.opened


def test_an_error_object_where_a_stream_was_asked_for_keeps_its_meaning() -> None:
    relay = lane(stream=True).relay()
    play(relay, b'{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}')
    assert relay.error is not None
    assert relay.error.kind is ErrorKind.RATE_LIMITED


# --- The buffered answer --------------------------------------------------------------------------------------------


def test_an_answer_is_forwarded_byte_for_byte() -> None:
    body = b'{"choices": [ {"index":0,"finish_reason":"stop","message":{"content":"x"}} ], "usage": {"prompt_tokens": 3}}'
    answer = lane().answer(body, "application/json")
    assert answer.body == body
    assert answer.finish == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt == 3


@pytest.mark.parametrize(
    "body", [b"<html></html>", b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [1]}', b'{"choices": "x"}']
)
def test_a_200_that_is_no_completion_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        lane().answer(body, "text/html")
    assert (caught.value.kind, caught.value.status) == (ErrorKind.UPSTREAM_PROTOCOL, 502)


@needs_recordings
def test_case_25_azures_content_filter_in_a_200_is_recognised() -> None:
    recorded = find("test-prompt-content-filtering")
    with pytest.raises(GatewayError) as caught:
        lane().answer(recorded.body, "application/json")
    assert (caught.value.kind, caught.value.status) == (ErrorKind.CONTENT_POLICY, 400)


# --- Recordings -----------------------------------------------------------------------------------------------------


@needs_recordings
@named(STREAMS)
def test_every_recorded_stream_passes_whole_and_is_metered(recorded: Recorded) -> None:
    asked = recorded.request.get("stream_options", {}).get("include_usage", False)
    relay = lane(stream=True, stream_options={"include_usage": True}).relay()
    out = play(relay, recorded.body)
    if "stream-error" in recorded.name:
        assert relay.error is not None
        assert relay.error.message == "Token limit reached"
        assert relay.usage is not None
        return
    assert relay.error is None
    assert relay.finished
    assert out.endswith(DONE)
    assert relay.finish in ("stop", "length", "tool_calls", None)
    assert relay.usage is not None or not asked
    texts = [[c["delta"].get("content") for c in e["choices"] if c.get("delta")] for e in events(out) if e["choices"]]
    came = [[c["delta"].get("content") for c in e["choices"] if c.get("delta")] for e in events(recorded.body) if e["choices"]]
    assert texts == came


@needs_recordings
@named(ANSWERS)
def test_every_recorded_answer_passes_and_is_metered(recorded: Recorded) -> None:
    answer = lane().answer(recorded.body, "application/json")
    assert answer.body == recorded.body
    assert answer.finish in ("stop", "length", "tool_calls", "content_filter")
    assert answer.usage is not None
    told = json.loads(recorded.body)["usage"]
    assert answer.usage.prompt == told["prompt_tokens"]
    assert answer.usage.output in (told["completion_tokens"], told["total_tokens"] - told["prompt_tokens"])


@needs_recordings
def test_what_openai_streamed_still_parses_strictly_after_the_edit() -> None:
    recorded = find("test-run-stream-sync-streams-real-model")
    for event in events(play(lane(stream=True).relay(), recorded.body)):
        ChatCompletionChunk.model_validate(event, strict=True)
