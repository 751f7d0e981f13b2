"""Every recorded answer and error of the Gemini API and Vertex AI is understood."""

import pytest
from tests.wire.gemini.judge import ask, check, sent, target
from tests.wire.gemini.recordings import ALL, ANSWERS, ERRORS, STREAMS, Recorded, find, named, needs_recordings

from pllm.core.errors import ErrorKind
from pllm.core.jsontext import dumps
from pllm.wire.folding import fold, unfold
from pllm.wire.gemini import upstream
from pllm.wire.neutral import Event, Failure, Message, Response, Text, ToolCall

pytestmark = [pytest.mark.needs_cassettes, needs_recordings]

ENCODED = upstream.encode(ask(), target())


def read(recorded: Recorded) -> Response:
    if not recorded.stream:
        return upstream.decode(recorded.body, ENCODED)
    return fold(decoded(recorded.body))


def decoded(body: bytes, size: int = 1 << 20) -> list[Event]:
    decoder = upstream.decoder(ENCODED)
    events = [event for at in range(0, len(body), size) for event in decoder.feed(body[at : at + size])]
    return [*events, *decoder.close()]


def test_there_are_recordings_of_each_kind() -> None:
    assert len(ANSWERS) > 80 and len(STREAMS) >= 8 and len(ERRORS) >= 4


@named(ANSWERS + STREAMS)
def test_a_recorded_answer_folds_to_what_it_says(recorded: Recorded) -> None:
    response = read(recorded)
    parts = [
        part
        for entry in recorded.objects
        for candidate in entry.get("candidates") or ()
        for part in (candidate.get("content") or {}).get("parts") or ()
    ]
    said = "".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
    called = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    choice = response.choices[0]
    assert "".join(part.text for part in choice.parts if isinstance(part, Text)) == said
    assert [part.name for part in choice.parts if isinstance(part, ToolCall)] == called
    assert (choice.finish == "tool_calls") == bool(called)
    assert fold(unfold(response)) == response


@named(ANSWERS + STREAMS)
def test_case_15_recorded_usage_adds_up_to_the_providers_total(recorded: Recorded) -> None:
    metadata = recorded.objects[-1]["usageMetadata"]
    usage = read(recorded).usage
    assert usage is not None
    assert usage.reasoning == metadata.get("thoughtsTokenCount", 0)
    assert usage.cache_read == metadata.get("cachedContentTokenCount", 0)
    if len(recorded.objects) == 1 or "candidatesTokenCount" in metadata:
        assert usage.total == metadata["totalTokenCount"]


@named(STREAMS)
def test_a_recorded_stream_reads_the_same_at_any_chunk_size(recorded: Recorded) -> None:
    whole = decoded(recorded.body)
    assert decoded(recorded.body, 1) == whole
    assert decoded(recorded.body, 97) == whole


@named(STREAMS)
def test_case_18_a_recorded_stream_without_its_last_chunk_is_a_failure(recorded: Recorded) -> None:
    last = recorded.body.rstrip().rfind(b"data: ")
    events = decoded(recorded.body[:last])
    assert isinstance(events[-1], Failure)


@named(ANSWERS + STREAMS)
def test_case_12_a_recorded_answer_goes_back_with_its_signatures(recorded: Recorded) -> None:
    response = read(recorded)
    parts = tuple(part for part in response.choices[0].parts if not isinstance(part, ToolCall))
    if not parts:
        return
    body = sent(ask(*[Message("user", (Text("hi"),))], Message("assistant", parts), Message("user", (Text("go on"),))))
    back = [part.get("thoughtSignature") for content in body["contents"] for part in content["parts"]]
    given = [
        part["thoughtSignature"]
        for entry in recorded.objects
        for candidate in entry["candidates"]
        for part in candidate["content"].get("parts", ())
        if "thoughtSignature" in part and "functionCall" not in part
    ]
    assert [signature for signature in back if signature] == given


@named(ERRORS)
def test_case_25_a_recorded_error_keeps_its_message_and_status(recorded: Recorded) -> None:
    error = upstream.error(recorded.status, recorded.headers, recorded.body)
    said = recorded.objects[0]["error"]
    assert error.message == said["message"]
    assert error.upstream_status == recorded.status and error.upstream_type == said["status"]
    assert error.kind is (ErrorKind.MODEL_NOT_FOUND if recorded.status == 404 else ErrorKind.INVALID_REQUEST)


def test_case_13_a_recorded_refusal_of_the_filter() -> None:
    assert read(find("safety-settings")).choices[0].finish == "content_filter"


def test_case_13_a_recorded_cap_ends_in_length() -> None:
    assert read(find("model-max-tokens")).choices[0].finish == "length"


def test_case_23_recorded_token_probabilities_have_openais_form() -> None:
    choice = read(find("vertex-logprobs")).choices[0]
    assert choice.logprobs is not None
    first = choice.logprobs["content"][0]
    assert first["token"] == "2" and first["bytes"] == [50] and first["logprob"] < 0
    assert len(first["top_logprobs"]) == 5


def test_recorded_groundings_become_citations_at_the_right_place() -> None:
    choice = read(find("web-search-tool-stream")).choices[0]
    text = next(part for part in choice.parts if isinstance(part, Text))
    assert len(text.citations) == 9
    for citation in text.citations:
        assert citation.start is not None and citation.quote == text.text[citation.start : citation.end]
        assert citation.url and citation.url.startswith("https://")


def test_the_judge_takes_what_others_have_sent() -> None:
    """Guards the judge itself: real requests, in the camelCase this wire writes, must pass it."""
    passed = 0
    for recorded in ALL:
        if recorded.status == 200 and "otel--" not in recorded.name and b"_" not in dumps(sorted(_keys(recorded.request))):
            check(recorded.request)
            passed += 1
    assert passed > 10


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return {key for key in value if isinstance(key, str)}.union(*(_keys(inner) for inner in value.values()))
    return set().union(*(_keys(inner) for inner in value)) if isinstance(value, list) else set()
