"""The same-dialect lane: what is edited, what is not, and when a stream counts as whole."""

import json

import pytest
from openai.types.chat import ChatCompletionChunk
from tests.wire.openai_chat.lanes import DONE, HELLO, TARGET, events, lane, play, sent
from tests.wire.openai_chat.recordings import ANSWERS, STREAMS, Recorded, find, named, needs_recordings

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks, Target
from pllm.wire.openai_chat import ChatLane
from pllm.wire.openai_chat.edit import needs_translation

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
