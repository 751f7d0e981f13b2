"""Legacy Completions between those who both speak it: everything passes as it came."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.wire.openai_completions.completion import BASE

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Quirks, Target
from pllm.wire.openai_completions import CompletionsLane, client

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
    folder = Path(named) if named else Path(__file__).parents[4] / "shared" / "cassettes"
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
