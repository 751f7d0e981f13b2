"""Requests edited and answers handed on: JSON and forms, every endpoint."""

import json
from typing import Any

import pytest
from tests.wire.openai_media.forms import parsed, written
from tests.wire.openai_media.lanes import lane_of

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.profile import ModelProfile
from pllm.wire.lane import Lane, Quirks, Target
from pllm.wire.openai_media import ENDPOINTS, MediaRequest, form_request, json_request

BODY: dict[str, Any] = {"model": "public", "input": ["a", "b"], "dimensions": 3, "x_new": {"kept": [1, None]}}


def target(**changes: Any) -> Target:
    return Target(**({"model": "up", "public_name": "public", "provider": "openai"} | changes))


def json_lane(path: str, body: dict[str, Any], to: Target | None = None) -> Lane:
    return lane_of(json_request(ENDPOINTS[path], body), to or target())


def form_asked(path: str, *fields: tuple[str, str]) -> MediaRequest:
    form = written([("model", "public"), *fields], [("file", "a.wav", b"\x00\xff")])
    return form_request(ENDPOINTS[path], form.body, form.content_type)


def sent(lane: Lane) -> Any:
    return json.loads(lane.request.body)


# --- Requests -------------------------------------------------------------------------------------------------------


def test_json_goes_on_with_only_the_model_changed() -> None:
    lane = json_lane("embeddings", BODY)
    assert sent(lane) == BODY | {"model": "up"}
    assert (lane.request.path, lane.request.content_type) == ("embeddings", "application/json")
    assert (lane.dropped, lane.emulated) == ((), ())


def test_a_form_goes_on_under_its_own_boundary() -> None:
    asked = form_asked("audio/transcriptions", ("response_format", "srt"))
    lane = lane_of(asked, target())
    assert lane.request.content_type == "multipart/form-data; boundary=a1b2c3d4e5f6"
    fields, uploads = parsed(lane.request.body, lane.request.content_type)
    assert fields == [("model", "up"), ("response_format", "srt")]
    assert uploads == [("file", "a.wav", b"\x00\xff")]


def test_one_request_can_be_sent_to_several_deployments() -> None:
    asked = form_asked("audio/translations")
    bodies = [lane_of(asked, target(model=name)).request.body for name in ("one", "two", "one")]
    assert bodies[0] == bodies[2] != bodies[1]


def test_a_provider_whose_address_names_the_model_gets_none_in_the_body() -> None:
    assert "model" not in sent(json_lane("embeddings", BODY, target(quirks=Quirks(model_in_body=False))))


@pytest.mark.parametrize(
    ("path", "body", "delivery"),
    [
        ("embeddings", {"stream": True}, "whole"),
        ("images/generations", {}, "whole"),
        ("images/generations", {"stream": None}, "whole"),
        ("images/generations", {"stream": True}, "events"),
        ("images/edits", {"stream": True}, "events"),
        ("audio/speech", {}, "bytes"),
        ("audio/speech", {"stream_format": "audio"}, "bytes"),
        ("audio/speech", {"stream_format": "sse"}, "events"),
        ("moderations", {}, "whole"),
    ],
)
def test_how_a_json_request_wants_its_answer(path: str, body: dict[str, Any], delivery: str) -> None:
    asked = json_request(ENDPOINTS[path], {"model": "m", **body})
    assert asked.delivery == delivery
    request = lane_of(asked, target()).request
    assert request.stream is (delivery != "whole")
    assert request.stream_type == ("" if delivery == "bytes" else "text/event-stream")
    assert request.headers["accept"] == ("text/event-stream" if delivery == "events" else "*/*")


@pytest.mark.parametrize(
    ("path", "stream", "delivery"),
    [
        ("audio/transcriptions", "true", "events"),
        ("audio/transcriptions", "false", "whole"),
        ("audio/translations", "true", "whole"),
        ("images/edits", "true", "events"),
    ],
)
def test_how_a_form_wants_its_answer(path: str, stream: str, delivery: str) -> None:
    assert form_asked(path, ("stream", stream)).delivery == delivery


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'model' is missing"),
        ({"model": None}, "'model' is missing"),
        ({"model": ""}, "non-empty string"),
        ({"model": 7}, "non-empty string"),
        ({"model": "m", "stream": "yes"}, "'stream' must be true or false"),
    ],
)
def test_what_the_gateway_must_know_is_checked(body: dict[str, Any], words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        json_request(ENDPOINTS["images/generations"], body)
    assert (caught.value.status, words in caught.value.message) == (400, True)


def test_a_refused_field_is_a_400_naming_it_and_the_model() -> None:
    for asked in (json_request(ENDPOINTS["embeddings"], BODY | {"user": "u"}), form_asked("images/edits", ("user", "u"))):
        with pytest.raises(GatewayError, match="'public' does not support 'user'") as caught:
            lane_of(asked, target(quirks=Quirks(refused=frozenset({"user"}))))
        assert (caught.value.status, caught.value.param) == (400, "user")


def test_a_refused_field_may_be_dropped_and_is_listed() -> None:
    to = target(quirks=Quirks(refused=frozenset({"user"})), drop_unsupported=True)
    lane = json_lane("embeddings", BODY | {"user": "u"}, to)
    assert (sent(lane), lane.dropped) == (BODY | {"model": "up"}, ("user",))
    form = lane_of(form_asked("images/edits", ("user", "u")), to)
    assert parsed(form.request.body, form.request.content_type)[0] == [("model", "up")]
    assert form.dropped == ("user",)


def test_a_refused_field_that_is_null_says_nothing() -> None:
    lane = json_lane("embeddings", BODY | {"user": None}, target(quirks=Quirks(refused=frozenset({"user"}))))
    assert (sent(lane), lane.dropped) == (BODY | {"model": "up"}, ())


def test_what_a_models_profile_refuses_counts_too() -> None:
    with pytest.raises(GatewayError, match="does not support 'dimensions'"):
        json_lane("embeddings", BODY, target(profile=ModelProfile(refused_params=frozenset({"dimensions"}))))


def test_configured_defaults_fill_the_fields_there_are_and_the_rest_is_reported() -> None:
    to = target(defaults={"n": 2, "user": "house", "temperature": 0.5})
    lane = json_lane("images/generations", {"model": "m", "prompt": "p", "user": "mine"}, to)
    assert sent(lane) == {"model": "up", "prompt": "p", "user": "mine", "n": 2}
    assert lane.dropped == ("temperature",)
    form = lane_of(form_asked("audio/transcriptions"), to)
    assert parsed(form.request.body, form.request.content_type)[0] == [("model", "up"), ("temperature", "0.5")]
    assert form.dropped == ("n", "user")


def test_a_default_that_the_provider_refuses_is_reported_and_not_sent() -> None:
    to = target(defaults={"user": "house"}, quirks=Quirks(refused=frozenset({"user"})))
    lane = json_lane("embeddings", BODY, to)
    assert (sent(lane), lane.dropped) == (BODY | {"model": "up"}, ("user",))


# --- Who can serve it -----------------------------------------------------------------------------------------------


def served_by(**changes: Any) -> Deployment:
    return Deployment(**({"id": "d", "model_name": "public", "provider": "openai", "model": "up"} | changes))


@pytest.mark.parametrize("path", list(ENDPOINTS))
def test_only_providers_of_openais_dialect_serve_it(path: str) -> None:
    asked = json_request(ENDPOINTS[path], {"model": "public"})
    assert asked.refusal(served_by()) is None
    assert asked.refusal(served_by(dialects=("responses", "chat"))) is None
    refusal = asked.refusal(served_by(provider="bedrock", dialects=("converse",)))
    assert refusal is not None
    assert (refusal.status, refusal.param, refusal.code) == (400, "model", "unsupported_endpoint")
    for part in (f"/v1/{path}", "'public'", "bedrock", "are served by OpenAI-dialect providers only"):
        assert part in refusal.message


@pytest.mark.parametrize("path", list(ENDPOINTS))
def test_a_model_that_is_known_for_something_else_is_refused(path: str) -> None:
    asked = json_request(ENDPOINTS[path], {"model": "public"})
    assert asked.refusal(served_by(profile=ModelProfile(mode="rerank"))) is None
    fitting: Any = ENDPOINTS[path].mode
    assert asked.refusal(served_by(profile=ModelProfile(mode=fitting, known=True))) is None
    refusal = asked.refusal(served_by(profile=ModelProfile(mode="chat", known=True)))
    assert refusal is not None
    assert refusal.status == 400
    assert "its mode is 'chat'" in refusal.message
    assert "model_info.mode" in refusal.message


# --- Answers --------------------------------------------------------------------------------------------------------


def answered(path: str, body: Any, content_type: str = "application/json") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = json_request(ENDPOINTS[path], {"model": "m", "input": "four"})
    answer = lane_of(asked, target()).answer(raw, content_type)
    assert answer.body is raw
    return answer


def test_embeddings_tell_their_prompt_tokens() -> None:
    answer = answered("embeddings", {"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}})
    assert (answer.usage.prompt, answer.usage.output) == (8, 0)


def test_images_tell_their_tokens_and_number() -> None:
    usage = {
        "input_tokens": 50,
        "output_tokens": 4160,
        "total_tokens": 4210,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40, "cached_tokens": 20},
    }
    found = answered("images/edits", {"created": 1, "data": [{"b64_json": "eA=="}, {"b64_json": "eA=="}], "usage": usage}).usage
    assert (found.prompt, found.cache_read, found.image_input, found.output, found.images) == (50, 20, 40, 4160, 2)
    assert answered("images/generations", {"created": 1, "data": [{"url": "https://x"}]}).usage.images == 1


def test_transcriptions_tell_tokens_or_seconds() -> None:
    tokens = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "input_token_details": {"audio_tokens": 14}}
    found = answered("audio/transcriptions", {"text": "hi", "usage": tokens}).usage
    assert (found.prompt, found.audio_input, found.output) == (14, 14, 45)
    billed = answered("audio/transcriptions", {"text": "hi", "usage": {"type": "duration", "seconds": 37}, "duration": 36.7})
    assert billed.usage.audio_seconds == 37
    assert answered("audio/translations", {"text": "hi", "duration": "8.47"}).usage.audio_seconds == 8.47
    assert answered("audio/translations", {"text": "hi", "duration": "long"}).usage is None
    assert answered("audio/transcriptions", {"text": ""}).usage is None


def test_absurd_figures_count_as_none() -> None:
    usage = {"prompt_tokens": True, "completion_tokens": -3, "input_tokens": 1e300, "output_tokens": None}
    found = answered("embeddings", {"data": [], "usage": usage}).usage
    assert (found.prompt, found.output) == (0, 0)


def _many(*order: str) -> dict[str, Any]:
    fields = {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": [0.125] * 4000} for n in range(20)],
        "model": "te",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    return {name: fields[name] for name in order}


@pytest.mark.parametrize(
    "order", [("object", "data", "model", "usage"), ("data", "usage", "model"), ("usage", "data"), ("usage", "object", "data")]
)
def test_a_large_answer_tells_its_usage_wherever_it_stands(order: tuple[str, ...]) -> None:
    assert answered("embeddings", _many(*order)).usage.prompt == 8


def test_a_large_answer_without_usage_is_an_answer() -> None:
    assert answered("embeddings", _many("data", "model")).usage is None


@pytest.mark.parametrize("cut", [b"", b"]", b'], "usage": {"prompt_tokens": 8'])
def test_a_large_answer_that_is_cut_is_none(cut: bytes) -> None:
    whole = json.dumps(_many("data")).encode().removesuffix(b"]}")
    with pytest.raises(GatewayError, match="not JSON"):
        answered("embeddings", whole + cut)


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("audio/transcriptions", b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", "text/plain; charset=utf-8"),
        ("audio/transcriptions", b"WEBVTT\n", "text/vtt"),
        ("audio/transcriptions", b'"just the words"', "application/json"),
        ("audio/speech", b"RIFF\x00\xff", "audio/wav"),
        ("moderations", {"id": "m", "results": [{"flagged": False}]}, "application/json; charset=utf-8"),
    ],
)
def test_an_answer_keeps_its_bytes_and_its_type(path: str, body: Any, content_type: str) -> None:
    assert answered(path, body, content_type).content_type == content_type


def test_spoken_characters_are_counted() -> None:
    assert answered("audio/speech", b"RIFF", "audio/wav").usage.characters == 4


@pytest.mark.parametrize(
    ("path", "body", "content_type", "words"),
    [
        ("embeddings", b"", "application/json", "empty"),
        ("embeddings", b"<html>", "text/html; charset=utf-8", "page"),
        ("embeddings", b"{", "application/json", "not JSON"),
        ("embeddings", b"\x00", "", "no content type"),
        ("embeddings", b"[]", "application/json", "not a JSON object"),
        ("embeddings", b'"x"', "application/json", "not a JSON object"),
        ("embeddings", b"{}", "application/json", "'data' is missing"),
        ("images/edits", b'{"data": null}', "application/json", "'data' is missing"),
        ("moderations", b'{"results": "x"}', "application/json", "'results' is missing"),
        ("audio/transcriptions", b'{"text": null}', "application/json", "'text' is missing"),
        ("audio/transcriptions", b"<html>", "text/html", "page"),
        ("audio/speech", b"<html>", "text/html", "page"),
        ("audio/speech", b"{}", "application/json", "not audio"),
    ],
)
def test_what_is_not_an_answer_is_the_providers_fault(path: str, body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        answered(path, body, content_type)
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("path", ["embeddings", "audio/speech", "audio/transcriptions"])
def test_an_error_object_in_a_200_is_an_error(path: str) -> None:
    with pytest.raises(GatewayError, match="too many") as caught:
        answered(path, {"error": {"message": "too many", "code": 429}})
    assert caught.value.status == 429


def test_an_error_answer_keeps_its_class_and_retry_after() -> None:
    body = b'{"error":{"message":"Slow down.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}'
    error = json_lane("embeddings", BODY).error(429, {"retry-after": "7"}, body)
    assert (error.kind, error.status, error.retry_after_s) == (ErrorKind.RATE_LIMITED, 429, 7)
