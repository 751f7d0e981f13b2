"""Legacy Completions requests: every field's fate, and what is refused."""

from typing import Any

import pytest
from openai.types.completion_create_params import CompletionCreateParamsBase
from tests.wire.openai_completions.completion import BASE, decode

from pllm.core.errors import GatewayError
from pllm.wire.neutral import Message, Text

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


def refusal(**fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        decode(**fields)
    assert caught.value.status == 400
    return caught.value


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
