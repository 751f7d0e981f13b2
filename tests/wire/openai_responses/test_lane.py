import json
from typing import Any

import pytest

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Lane, Quirks, Target
from pllm.wire.openai_responses import ResponsesLane, client, with_history

BASE: dict[str, Any] = {"model": "public", "input": "Hi"}


def target(**fields: Any) -> Target:
    return Target(**{"model": "gpt-up", "public_name": "public", "provider": "openai", **fields})


def sent(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ResponsesLane(body, target(**fields)).request.body)
    return found


def refusal(body: dict[str, Any], **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        ResponsesLane(body, target(**fields))
    assert caught.value.status == 400
    return caught.value


def test_only_the_model_changes_and_unknown_fields_survive_in_their_order() -> None:
    body = {"zeta": {"b": 1, "a": [None]}, "model": "public", "input": [{"type": "new_item", "x": 1}], "truncation": "auto"}
    lane: Lane = ResponsesLane(body, target())
    assert lane.request.path == "responses"
    assert lane.request.model == "gpt-up"
    assert not lane.request.stream
    assert lane.request.body == json.dumps({**body, "model": "gpt-up"}, separators=(",", ":")).encode()
    assert (lane.dropped, lane.emulated) == ((), ())


def test_the_clients_body_is_left_alone() -> None:
    body = {**BASE, "reasoning": {"effort": "low"}, "stream": True}
    before = json.dumps(body)
    ResponsesLane(
        body, target(defaults={"temperature": 0.1}, drop_unsupported=True, quirks=Quirks(refused=frozenset({"user"})))
    )
    assert json.dumps(body) == before


def test_a_stream_is_known_as_one() -> None:
    assert ResponsesLane({**BASE, "stream": True}, target()).request.stream


def test_configured_defaults_fill_what_the_client_left_open_in_this_dialects_spelling() -> None:
    defaults = {"temperature": 0.3, "max_tokens": 50, "reasoning_effort": "low", "verbosity": "low", "seed": 1}
    lane = ResponsesLane({**BASE, "temperature": 0.9, "reasoning": {"summary": "auto"}}, target(defaults=defaults))
    assert json.loads(lane.request.body) == {
        "model": "gpt-up",
        "input": "Hi",
        "temperature": 0.9,
        "reasoning": {"summary": "auto", "effort": "low"},
        "max_output_tokens": 50,
        "text": {"verbosity": "low"},
    }
    assert lane.dropped == ("seed",)


def test_case_23_a_refused_parameter_is_a_400_naming_parameter_and_model() -> None:
    profile = ModelProfile(refused_params=frozenset({"temperature", "reasoning_effort"}))
    error = refusal({**BASE, "temperature": 0.5}, profile=profile)
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED_PARAMETER, "temperature")
    assert "public" in error.message
    assert refusal({**BASE, "reasoning": {"effort": "high"}}, profile=profile).param == "reasoning.effort"


def test_case_23_a_refused_parameter_may_be_dropped_and_is_reported() -> None:
    profile = ModelProfile(refused_params=frozenset({"temperature", "reasoning_effort"}))
    body = {**BASE, "temperature": 0.5, "reasoning": {"effort": "high", "summary": "auto"}}
    lane = ResponsesLane(body, target(profile=profile, drop_unsupported=True))
    assert json.loads(lane.request.body) == {"model": "gpt-up", "input": "Hi", "reasoning": {"summary": "auto"}}
    assert lane.dropped == ("reasoning.effort", "temperature")
    assert "reasoning" not in sent({**BASE, "reasoning": {"effort": "x"}}, profile=profile, drop_unsupported=True)


def test_case_23_a_refused_parameter_that_says_nothing_is_left_out_quietly() -> None:
    profile = ModelProfile(refused_params=frozenset({"temperature"}), supports_tools=False)
    lane = ResponsesLane({**BASE, "temperature": 1, "tools": [], "tool_choice": "auto"}, target(profile=profile))
    assert json.loads(lane.request.body) == {"model": "gpt-up", "input": "Hi"}
    assert lane.dropped == ()


def test_case_23_a_refused_default_is_dropped_and_never_the_clients_fault() -> None:
    lane = ResponsesLane(
        BASE, target(defaults={"temperature": 0.2}, profile=ModelProfile(refused_params=frozenset({"temperature"})))
    )
    assert json.loads(lane.request.body) == {"model": "gpt-up", "input": "Hi"}
    assert lane.dropped == ("temperature",)


def test_case_24_refusing_one_spelling_of_chats_cap_refuses_nothing_here() -> None:
    profile = ModelProfile(refused_params=frozenset({"max_tokens"}))
    assert sent({**BASE, "max_output_tokens": 9}, profile=profile)["max_output_tokens"] == 9


def test_a_provider_that_names_the_model_elsewhere_gets_none_and_its_own_fields() -> None:
    body = sent(BASE, quirks=Quirks(model_in_body=False, body={"api_flavour": "x"}))
    assert body == {"input": "Hi", "api_flavour": "x"}


def test_case_10_reasoning_of_other_providers_is_not_shown_to_openai() -> None:
    theirs = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    body = {
        "model": "public",
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "reasoning", "id": "rs_pllm_1", "summary": [], "encrypted_content": "pllm1:anthropic:signature:S"},
            {"type": "reasoning", "id": "rs_pllm_2", "summary": [{"type": "summary_text", "text": "Open."}]},
            theirs,
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "extra_content": {"google": {}}},
        ],
    }
    assert sent(body)["input"] == [
        {"role": "user", "content": "Hi"},
        theirs,
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]


def test_a_resolved_history_is_sent_and_the_gateways_own_field_is_not() -> None:
    body = with_history({**BASE, "previous_response_id": "resp_1"}, [{"role": "user", "content": "Before"}])
    assert sent(body) == {
        "model": "gpt-up",
        "input": [{"role": "user", "content": "Before"}, {"type": "message", "role": "user", "content": "Hi"}],
    }


def test_a_previous_response_that_openai_holds_is_openais_to_resolve() -> None:
    assert sent({**BASE, "previous_response_id": "resp_openai"})["previous_response_id"] == "resp_openai"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"background": True}, "background"),
        ({"input": 3}, "input"),
    ],
)
def test_what_the_gateway_relies_on_is_checked(fields: dict[str, Any], param: str) -> None:
    assert refusal({**BASE, **fields}).param == param


def test_a_prompt_template_without_input_is_openais_to_resolve() -> None:
    assert sent({"model": "public", "prompt": {"id": "pmpt_1"}}) == {"model": "gpt-up", "prompt": {"id": "pmpt_1"}}


# --- Answers -------------------------------------------------------------------------------------------------------


def answer_of(value: Any) -> Any:
    return ResponsesLane(BASE, target()).answer(json.dumps(value).encode(), "application/json")


def test_an_answer_passes_as_it_came() -> None:
    body = b'{ "object":"response", "status":"completed", "output":[], "odd":1, "usage":{"input_tokens":2,"output_tokens":1} }'
    answer = ResponsesLane(BASE, target()).answer(body, "application/json")
    assert answer.body == body
    assert answer.finish == "stop"
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.output) == (2, 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", ErrorKind.UPSTREAM_PROTOCOL),
        (b"[]", ErrorKind.UPSTREAM_PROTOCOL),
        (b'{"object":"response"}', ErrorKind.UPSTREAM_PROTOCOL),
        (b'{"object":"response","status":"failed","output":[],"error":null}', ErrorKind.UPSTREAM_PROTOCOL),
        (
            b'{"object":"response","status":"failed","output":[],"error":{"code":"server_error","message":"x"}}',
            ErrorKind.UPSTREAM_ERROR,
        ),
        (
            b'{"object":"response","status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"x"}}',
            ErrorKind.RATE_LIMITED,
        ),
    ],
)
def test_case_17_an_answer_that_is_none_is_an_error(body: bytes, kind: ErrorKind) -> None:
    with pytest.raises(GatewayError) as caught:
        ResponsesLane(BASE, target()).answer(body, "application/json")
    assert caught.value.kind is kind


def test_case_25_an_error_answer_keeps_its_class_and_retry_after() -> None:
    body = b'{"error":{"message":"Slow down.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}'
    error = ResponsesLane(BASE, target()).error(429, {"retry-after": "7"}, body)
    assert (error.kind, error.status, error.retry_after_s) == (ErrorKind.RATE_LIMITED, 429, 7)


@pytest.mark.needs_cassettes
def test_every_recorded_answer_is_understood(recorded_answers: list[tuple[str, dict[str, Any]]]) -> None:
    assert len(recorded_answers) > 60
    finishes = set()
    for name, recorded in recorded_answers:
        answer = answer_of(recorded)
        assert json.loads(answer.body) == recorded, name
        assert answer.usage is not None, name
        assert answer.usage.total == recorded["usage"]["total_tokens"], name
        finishes.add(answer.finish)
    assert finishes == {"stop", "tool_calls", "length"}


@pytest.mark.needs_cassettes
def test_every_recorded_output_can_be_sent_back_as_input(recorded_answers: list[tuple[str, dict[str, Any]]]) -> None:
    for name, recorded in recorded_answers:
        request = client.decode({"model": "m", "input": [{"role": "user", "content": "Hi"}, *recorded["output"]]})
        count = sum(len(message.parts) for message in request.messages)
        parts = sum(len(item["content"]) if item["type"] == "message" else 1 for item in recorded["output"])
        assert count == parts + 1, name


@pytest.mark.needs_cassettes
def test_every_recorded_request_passes_with_only_the_model_changed(
    recorded_requests: list[tuple[str, dict[str, Any]]],
) -> None:
    for name, recorded in recorded_requests:
        # A prompt template may bring its model along; a gateway has to know it beforehand.
        body = {"model": "public", **recorded}
        assert sent(body) == {**body, "model": "gpt-up"}, name
