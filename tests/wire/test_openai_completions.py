import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types import Completion
from openai.types.completion_create_params import CompletionCreateParamsBase

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.core.profile import ModelProfile
from pllm.wire.folding import fold, unfold
from pllm.wire.lane import AnswerContext, Quirks, Target
from pllm.wire.neutral import (
    Choice,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    Message,
    Opaque,
    OpaqueBlock,
    Part,
    Ping,
    Refusal,
    Request,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from pllm.wire.openai_completions import CompletionsLane, client

BASE: dict[str, Any] = {"model": "public", "prompt": "Once"}

CONTEXT = AnswerContext(model="public", created_s=1_700_000_000, id_seed="5eed")

NEUTRAL: dict[str, Any] = {
    "echo": True,
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "logprobs": 2,
    "max_tokens": 5,
    "n": 2,
    "presence_penalty": -0.5,
    "seed": 3,
    "stop": ["\n"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.1,
    "top_p": 0.9,
    "user": "u",
}
EXTRAS: dict[str, Any] = {"suffix": " the end.", "best_of": 3}


def decode(**fields: Any) -> Request:
    return client.decode({**BASE, **fields})


def refusal(**fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decode(**fields)
    assert caught.value.status == 400
    return caught.value


# --- Requests ------------------------------------------------------------------------------------------------------


def test_every_field_of_the_official_sdk_has_a_known_fate() -> None:
    assert set(BASE) | set(NEUTRAL) | set(EXTRAS) == set(CompletionCreateParamsBase.__annotations__) | {"stream"}


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_a_field_with_a_neutral_form_changes_the_request_and_is_no_extra(name: str) -> None:
    request = decode(**{name: NEUTRAL[name]})
    assert request != decode()
    assert request.extras == {}


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_case_23_what_chat_models_do_not_have_is_left_to_the_upstream_to_refuse(name: str) -> None:
    assert decode(**{name: EXTRAS[name]}).extras == {name: EXTRAS[name]}


def test_case_23_an_unknown_field_is_kept_too() -> None:
    extras = decode(top_k=3, stream_options={"include_obfuscation": True}).extras
    assert extras == {"top_k": 3, "stream_options.include_obfuscation": True}


def test_settings_that_say_what_happens_anyway_are_no_extras() -> None:
    assert decode(best_of=1, suffix="", echo=False, stream_options={"include_obfuscation": False}) == decode()
    assert decode(best_of=2, n=2).extras == {}


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_the_prompt_is_one_user_message(prompt: Any) -> None:
    request = decode(prompt=prompt)
    assert request.messages == (Message("user", (Text("Once"),), "prompt"),)
    assert request.dialect == "chat"


@pytest.mark.parametrize("prompt", [None, 3, {}, [], ["a", "b"], [1, 2], [[1, 2]], [None]])
def test_any_other_prompt_is_a_400_that_says_what_to_send(prompt: Any) -> None:
    error = refusal(prompt=prompt)
    assert (error.param or "").startswith("prompt")


def test_token_prompts_are_refused_by_their_kind() -> None:
    assert "token numbers" in refusal(prompt=[15496, 995]).message


def test_case_14_stop_is_a_string_or_a_list() -> None:
    assert decode(stop=".").stop == (".",)
    assert decode(stop=[".", "!"]).stop == (".", "!")


def test_log_probabilities_are_a_number_here() -> None:
    assert (decode(logprobs=3).logprobs, decode(logprobs=3).top_logprobs) == (True, 3)
    assert (decode(logprobs=0).logprobs, decode(logprobs=0).top_logprobs) == (True, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "logprobs"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"n": 0}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stop": [1]}, "stop[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"suffix": 1}, "suffix"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ],
)
def test_a_field_of_the_wrong_kind_is_a_400_with_its_path(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param


# --- Answers -------------------------------------------------------------------------------------------------------


def answer(*parts: Part, finish: FinishReason = "stop", logprobs: dict[str, Any] | None = None) -> Response:
    return Response("u", "m", (Choice(parts, finish, None, logprobs),), Usage(3, 1, output=2), 1_700_000_001, None, "fp_1")


def encode(response: Response, **fields: Any) -> dict[str, Any]:
    body = client.encode(response, decode(**fields), CONTEXT)
    Completion.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def chunks(written: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(block.removeprefix("data: ")) for block in written.decode().split("\n\n")[:-1] if block.startswith("data: {")
    ]


def stream(events: list[Event], **fields: Any) -> bytes:
    return client.encoder(decode(**fields), CONTEXT).feed(events)


def test_a_text_completion() -> None:
    assert encode(answer(Text(" upon"), Text(" a time"))) == {
        "id": "cmpl-5eed",
        "object": "text_completion",
        "created": 1_700_000_001,
        "model": "public",
        "choices": [{"text": " upon a time", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "system_fingerprint": "fp_1",
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def test_echo_puts_the_prompt_before_the_answer() -> None:
    response = answer(Text(" upon"))
    assert encode(response, echo=True)["choices"][0]["text"] == "Once upon"
    texts = [chunk["choices"][0]["text"] for chunk in chunks(stream(unfold(response), echo=True))]
    assert texts == ["Once", " upon", ""]


def test_thinking_is_left_out_and_a_refusal_is_text() -> None:
    assert encode(answer(Thinking("Hm."), Refusal("No.")))["choices"][0]["text"] == "No."


@pytest.mark.parametrize(
    ("finish", "shown"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_case_13_every_finish_has_a_word_of_this_dialect(finish: FinishReason, shown: str) -> None:
    response = answer(Text("a"), finish=finish)
    assert encode(response)["choices"][0]["finish_reason"] == shown
    assert [c["choices"][0]["finish_reason"] for c in chunks(stream(unfold(response)))] == [None, shown]


def test_log_probabilities_are_parallel_lists_with_offsets() -> None:
    content = [
        {"token": " up", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": " up", "logprob": -0.1}]},
        {"token": "on", "logprob": -0.2, "bytes": None, "top_logprobs": []},
    ]
    response = answer(Text(" upon"), logprobs={"content": content})
    legacy = {
        "tokens": [" up", "on"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{" up": -0.1}, {}],
        "text_offset": [0, 3],
    }
    assert encode(response, logprobs=1)["choices"][0]["logprobs"] == legacy
    events: list[Event] = [Start(), TextDelta(0, " upon")]
    events += [LogprobsDelta({"content": [token]}) for token in content]
    offsets = [chunk["choices"][0]["logprobs"] for chunk in chunks(stream([*events, Finish("stop"), End()], logprobs=1))]
    assert [found["text_offset"] for found in offsets if found] == [[0], [3]]


def test_a_block_that_is_no_text_is_an_error_not_a_loss() -> None:
    with pytest.raises(GatewayError):
        client.encode(answer(ToolCall("c", "f")), decode(), CONTEXT)
    for event in unfold(answer(ToolCall("c", "f")))[1], OpaqueBlock(0, Opaque("messages", "x", {})):
        written = stream([Start(), event, Finish("stop"), End()])
        assert "error" in chunks(written)[-1]
        assert b"[DONE]" not in written


def test_case_16_usage_comes_in_one_last_chunk_for_those_who_ask() -> None:
    asked = chunks(stream(unfold(answer(Text("a"))), stream=True, stream_options={"include_usage": True}))
    assert [chunk["usage"] and chunk["usage"]["total_tokens"] for chunk in asked] == [None, None, 6]
    assert asked[-1]["choices"] == []
    assert all("usage" not in chunk for chunk in chunks(stream(unfold(answer(Text("a"))), stream=True)))


def test_the_stream_ends_in_done_and_nothing_after() -> None:
    encoder = client.encoder(decode(), CONTEXT)
    assert encoder.feed(unfold(answer(Text("a")))).endswith(b"\n\ndata: [DONE]\n\n")
    assert encoder.feed([TextDelta(0, "b"), Ping(), End()]) == b""


def test_a_ping_is_a_comment() -> None:
    assert stream([Ping()]).startswith(b":")


@pytest.mark.parametrize("position", range(1, 4))
def test_case_18_a_failure_anywhere_is_an_error_event_without_done(position: int) -> None:
    events = unfold(answer(Text("a")))
    written = stream([*events[:position], Failure(broken_stream("it was cut")), *events[position:]])
    assert b"[DONE]" not in written
    assert chunks(written)[-1]["error"]["code"] == "stream_broken"
    with pytest.raises(APIError, match="it was cut"):
        list(_sdk(written).completions.create(model="m", prompt="Once", stream=True))


def test_an_error_body_is_openais() -> None:
    assert json.loads(client.error(GatewayError(ErrorKind.NOT_FOUND, "No.")))["error"]["message"] == "No."


_words = st.text(st.characters(codec="utf-8"), max_size=10)
_choices = st.builds(
    Choice,
    st.lists(st.one_of(st.builds(Text, _words), st.builds(Refusal, _words), st.builds(Thinking, _words)), max_size=3).map(
        tuple
    ),
    st.sampled_from(["stop", "length", "content_filter"]),
)
_responses = st.builds(
    Response,
    st.just("u"),
    st.just("m"),
    st.lists(_choices, min_size=1, max_size=3).map(tuple),
    st.builds(Usage, st.integers(0, 9), output=st.integers(0, 9)),
)


@settings(deadline=None, max_examples=50)
@given(_responses, st.booleans())
def test_the_official_sdk_reads_any_stream_as_the_buffered_answer(response: Response, echo: bool) -> None:
    fields = {"stream": True, "echo": echo, "stream_options": {"include_usage": True}}
    written = stream(unfold(response), **fields)
    live = list(_sdk(written).completions.create(model="m", prompt="Once", stream=True))
    buffered = Completion.model_validate_json(client.encode(fold(unfold(response)), decode(**fields), CONTEXT), strict=True)
    for choice in buffered.choices:
        mine = [c for chunk in live for c in chunk.choices if c.index == choice.index]
        assert "".join(c.text for c in mine) == choice.text
        assert mine[-1].finish_reason == choice.finish_reason
    assert live[-1].usage == buffered.usage
    assert {(chunk.id, chunk.created, chunk.model) for chunk in live} == {(buffered.id, buffered.created, buffered.model)}


class _Replay(httpx2.BaseTransport):
    stream = b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)


_REPLAY = _Replay()
_SDK = OpenAI(api_key="unused", base_url="http://gateway/v1", http_client=httpx2.Client(transport=_REPLAY))


def _sdk(written: bytes) -> OpenAI:
    _REPLAY.stream = written
    return _SDK


# --- The same-dialect lane -----------------------------------------------------------------------------------------


def target(**fields: Any) -> Target:
    return Target(**{"model": "up-model", "public_name": "public", "provider": "vllm", **fields})


def sent(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CompletionsLane(body, target(**fields)).request.body)
    return found


def test_only_the_model_changes_and_native_prompts_survive() -> None:
    body = {"prompt": [[1, 2], [3]], "model": "public", "suffix": "s", "best_of": 4, "odd": {"b": 1, "a": 2}}
    lane = CompletionsLane(body, target())
    assert lane.request.path == "completions"
    assert lane.request.body == json.dumps({**body, "model": "up-model"}, separators=(",", ":")).encode()


def test_case_16_usage_is_asked_for_upstream_in_any_stream() -> None:
    assert sent({**BASE, "stream": True})["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(BASE)
    assert "stream_options" not in sent({**BASE, "stream": True}, quirks=Quirks(stream_usage=False))


def test_configured_defaults_fill_what_the_client_left_open_and_others_are_reported() -> None:
    lane = CompletionsLane(BASE, target(defaults={"max_completion_tokens": 9, "temperature": 0.2, "reasoning_effort": "low"}))
    assert json.loads(lane.request.body) == {"model": "up-model", "prompt": "Once", "max_tokens": 9, "temperature": 0.2}
    assert lane.dropped == ("reasoning_effort",)


def test_case_24_the_cap_keeps_its_only_name() -> None:
    assert sent({**BASE, "max_tokens": 5}, quirks=Quirks(token_cap="max_completion_tokens"))["max_tokens"] == 5


def test_case_23_a_refused_parameter_is_a_400_or_dropped_and_reported() -> None:
    profile = ModelProfile(refused_params=frozenset({"seed"}))
    with pytest.raises(GatewayError) as caught:
        CompletionsLane({**BASE, "seed": 1}, target(profile=profile))
    assert caught.value.param == "seed"
    lane = CompletionsLane({**BASE, "seed": 1}, target(profile=profile, drop_unsupported=True))
    assert lane.dropped == ("seed",)


@pytest.mark.parametrize(
    ("fields", "param"), [({"prompt": None}, "prompt"), ({"model": 1}, "model"), ({"stream": 1}, "stream"), ({"n": 0}, "n")]
)
def test_what_the_gateway_relies_on_is_checked(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        CompletionsLane({**BASE, **fields}, target())
    assert caught.value.param == param


def test_an_answer_passes_as_it_came() -> None:
    usage = b'{"prompt_tokens":2,"completion_tokens":1}'
    body = b'{"object":"text_completion", "choices":[{"text":"a","finish_reason":"length"}],"usage":' + usage + b"}"
    found = CompletionsLane(BASE, target()).answer(body, "application/json")
    assert (found.body, found.finish) == (body, "length")
    assert found.usage is not None
    assert (found.usage.input, found.usage.output) == (2, 1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"choices":[]}', b'{"error":{"message":"x","code":"server_error"}}'])
def test_case_17_an_answer_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError):
        CompletionsLane(BASE, target()).answer(body, "application/json")


def test_case_25_an_error_answer_keeps_its_class() -> None:
    error = CompletionsLane(BASE, target()).error(503, {}, b'{"error":{"message":"Busy."}}')
    assert (error.kind, error.message) == (ErrorKind.UPSTREAM_OVERLOADED, "Busy.")


def frame(text: str, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
    value = {"id": "c", "object": "text_completion", "created": 1, "choices": [choice], "model": "m", **fields}
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
FRAMES = [frame("a"), frame("b"), frame("", "stop"), frame("", usage=USAGE, choices=[]), b"data: [DONE]\n\n"]


def test_case_16_usage_asked_for_on_top_is_metered_and_not_shown() -> None:
    relay = CompletionsLane({**BASE, "stream": True}, target()).relay()
    assert relay.feed(b"".join(FRAMES)) == b"".join([*FRAMES[:3], FRAMES[4]])
    assert (relay.opened, relay.finished, relay.finish) == (True, True, "stop")
    assert relay.usage is not None
    assert (relay.usage.input, relay.usage.output) == (3, 2)


def test_case_16_usage_the_client_asked_for_is_shown() -> None:
    body = {**BASE, "stream": True, "stream_options": {"include_usage": True}}
    assert CompletionsLane(body, target()).relay().feed(b"".join(FRAMES)) == b"".join(FRAMES)


@pytest.mark.parametrize("kept", range(4))
def test_case_18_a_stream_cut_between_events_is_broken(kept: int) -> None:
    relay = CompletionsLane({**BASE, "stream": True}, target()).relay()
    relay.feed(b"".join(FRAMES[:kept]))
    relay.close()
    assert relay.error is not None
    assert not relay.finished
    assert b"[DONE]" not in relay.fail(relay.error)


@pytest.mark.parametrize("fault", [b"data: {oops\n\n", b'data: {"error":{"message":"Sorry."}}\n\n', b"<html>\n\n"])
@pytest.mark.parametrize("position", range(4))
def test_case_18_a_malformed_or_reported_error_anywhere_breaks_the_stream(position: int, fault: bytes) -> None:
    relay = CompletionsLane({**BASE, "stream": True}, target()).relay()
    passed = relay.feed(b"".join([*FRAMES[:position], fault, *FRAMES[position:]]))
    assert relay.error is not None
    assert not relay.finished
    assert fault not in passed


# --- Recordings ----------------------------------------------------------------------------------------------------


def _recorded() -> Iterator[tuple[str, dict[str, Any]]]:
    named = os.environ.get("PLLM_CASSETTES")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "cassettes"
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}: set PLLM_CASSETTES")
    for path in sorted((folder / "openai-other").glob("*.json")):
        for interaction in json.loads(path.read_text())["interactions"]:
            if str(interaction["request"].get("uri")).endswith("/v1/completions"):
                yield path.stem, interaction


@pytest.mark.needs_cassettes
def test_every_recorded_completion_passes_as_it_came() -> None:
    seen = 0
    for name, interaction in _recorded():
        seen += 1
        body, response = interaction["request"]["json"], interaction["response"]
        lane = CompletionsLane(body, target())
        if "text" in response:
            stream = re.sub(r"\r\n", "\n", response["text"]).encode()
            relay = lane.relay()
            passed = b"".join(relay.feed(stream[at : at + 61]) for at in range(0, len(stream), 61)) + relay.close()
            assert relay.error is None, name
            assert relay.finished, name
            assert passed == stream, name
            assert relay.finish in ("stop", "length"), name
        else:
            raw = json.dumps(response["json"]).encode()
            found = lane.answer(raw, "application/json")
            assert found.body == raw, name
            assert found.usage is not None, name
            assert found.usage.total == response["json"]["usage"]["total_tokens"], name
        assert client.decode(body).model == body["model"]
    assert seen >= 6
