"""Buffered answers of Gemini in neutral form (translation cases 1, 2, 4, 10, 12, 13, 15, 19)."""

import json
from typing import Any

import pytest
from tests.wire.gemini.judge import BUDGET, answers, ask, encoded, target
from tests.wire.gemini.provider import SIGNATURE, USAGE, answer, call, sse, text

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.wire.folding import fold
from pllm.wire.gemini import upstream
from pllm.wire.neutral import (
    Choice,
    Opaque,
    Refusal,
    Response,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)
from pllm.wire.translator import Encoded

PLAIN = upstream.encode(ask(), target())


FILTERS = (
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT"),
)

SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def read(body: JsonObject, how: Encoded = PLAIN) -> Response:
    """Buffered and streamed must agree, so every test here covers both."""
    whole = upstream.decode(json.dumps(body).encode(), how)
    decoder = upstream.decoder(how)
    assert fold([*decoder.feed(sse(body)), *decoder.close()]) == whole
    return whole


def only(body: JsonObject, how: Encoded = PLAIN) -> Choice:
    return read(body, how).choices[0]


def refused(body: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.decode(body if isinstance(body, bytes) else json.dumps(body).encode(), PLAIN)
    return caught.value


def test_the_head_of_an_answer() -> None:
    response = read(answer(text("hi")))
    assert (response.id, response.model, response.created_s) == ("resp_1-A", "gemini-x-001", 1771141837)


def test_case_01_call_ids_are_made_up_from_the_place_and_are_unique() -> None:
    body = answer(text("both:"), call("look"), call("look"), call("find", call_id="x8i00o1q"))
    calls = [part for part in only(body).parts if isinstance(part, ToolCall)]
    assert [one.id for one in calls] == ["gem-resp_1-A-0-0", "gem-resp_1-A-0-1", "x8i00o1q"]
    assert read(body) == read(body)


def test_case_02_a_call_without_arguments_has_an_empty_object() -> None:
    for part in ({"functionCall": {"name": "look"}}, {"functionCall": {"name": "look", "args": {}}}):
        found = only(answer(part)).parts[0]
        assert isinstance(found, ToolCall) and found.arguments == "{}"


def test_case_02_arguments_keep_their_order_and_characters() -> None:
    found = only(answer(call("look", {"z": "Łódź 👋", "a": [1, None]}))).parts[0]
    assert isinstance(found, ToolCall) and found.arguments == '{"z":"Łódź 👋","a":[1,null]}'


def test_case_04_text_beside_a_call_is_kept_in_order() -> None:
    choice = only(answer(text("Looking "), text("now."), call("look"), text("Done?")))
    assert [type(part) for part in choice.parts] == [Text, ToolCall, Text]
    assert choice.parts[0] == Text("Looking now.") and choice.finish == "tool_calls"


def test_case_10_thoughts_are_thinking_of_geminis_and_not_text() -> None:
    choice = only(answer(text("Hmm, ", thought=True), text("yes.", thought=True, signature=SIGNATURE), text("42")))
    assert choice.parts == (Thinking("Hmm, yes.", SIGNATURE, origin="gemini"), Text("42"))


def test_case_12_a_signature_on_a_call_belongs_to_that_call() -> None:
    choice = only(answer(call("look", signature=SIGNATURE), call("find")))
    first, second = choice.parts
    assert isinstance(first, ToolCall) and isinstance(second, ToolCall)
    assert (first.signature, first.origin) == (SIGNATURE, "gemini") and second.signature is None


@pytest.mark.parametrize("parts", [[text("42", signature=SIGNATURE)], [text("42"), text("", signature=SIGNATURE)]])
def test_case_12_a_signature_on_text_follows_it(parts: list[JsonObject]) -> None:
    assert only(answer(*parts)).parts == (Text("42"), Thinking("", SIGNATURE, origin="gemini"))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *(
            (reason, "content_filter")
            for reason in ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
        ),
        *(
            (reason, "content_filter")
            for reason in ("MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT")
        ),
    ],
)
def test_case_13_finish_reasons(reason: str, finish: str) -> None:
    assert only(answer(text("so"), finish=reason)).finish == finish


def test_case_13_stop_with_calls_is_tool_calls_but_a_cap_stays_a_cap() -> None:
    assert only(answer(call("look"))).finish == "tool_calls"
    assert only(answer(call("look"), finish="MAX_TOKENS")).finish == "length"


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "MISSING_THOUGHT_SIGNATURE", "TOO_MANY_TOOL_CALLS"])
def test_case_13_an_abnormal_end_is_an_error_that_another_attempt_may_mend(reason: str) -> None:
    error = refused(answer(text("so"), finish=reason, finishMessage="why"))
    assert error.kind is ErrorKind.UPSTREAM_ERROR and error.retryable
    assert reason in error.message and "why" in error.message and error.upstream_type == reason


def test_case_13_a_call_of_an_undeclared_function_reaches_the_client() -> None:
    assert only(answer(call("nope"), finish="UNEXPECTED_TOOL_CALL")).finish == "tool_calls"
    assert refused(answer(finish="UNEXPECTED_TOOL_CALL")).kind is ErrorKind.UPSTREAM_ERROR


def test_case_13_what_the_filter_said_is_kept() -> None:
    choice = only(answer(text("I "), finish="SAFETY", finishMessage="Blocked by the filter."))
    assert choice.parts == (Text("I "), Refusal("Blocked by the filter."))


@pytest.mark.parametrize("message", [None, "Not this."])
def test_case_13_a_blocked_prompt_is_a_filtered_answer(message: str | None) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", **({"blockReasonMessage": message} if message else {})}
    body = answers({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}})
    response = read(body)
    assert response.choices[0].finish == "content_filter"
    assert response.choices[0].parts == ((Refusal(message),) if message else ())
    assert response.usage is not None and response.usage.prompt == 4


def test_case_15_usage_takes_the_cache_out_of_the_input_and_puts_thoughts_into_the_output() -> None:
    found = read(answer(text("hi"))).usage
    assert found == Usage(input=16, cache_read=4, output=12, reasoning=5, raw=USAGE)
    assert found.prompt == 20 and found.total == 32


def test_case_15_what_tools_read_is_input_and_modalities_are_told_apart() -> None:
    metadata = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 50,
        "cachedContentTokenCount": 30,
        "candidatesTokenCount": 9,
        "totalTokenCount": 159,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 60}, {"modality": "IMAGE", "tokenCount": 10}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}],
    }
    found = read(answer(text("hi"), usage=metadata)).usage
    assert found is not None
    assert (found.input, found.cache_read, found.audio_input, found.image_input, found.audio_output) == (120, 30, 30, 10, 3)
    assert found.total == 159


def test_case_15_a_count_that_a_later_chunk_leaves_out_still_holds() -> None:
    early = answer(text("a"), finish=None, usage={"promptTokenCount": 9, "candidatesTokenCount": 21, "totalTokenCount": 30})
    late = answer(text(""), usage={"promptTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 35})
    decoder = upstream.decoder(PLAIN)
    found = fold([*decoder.feed(sse(early, late)), *decoder.close()]).usage
    assert found is not None and found.output == 26


def test_case_23_candidates_are_choices() -> None:
    body = answer(text("one"))
    body["candidates"].append({"content": {"parts": [{"text": "two"}]}, "finishReason": "MAX_TOKENS", "index": 1})
    response = read(answers(body), upstream.encode(ask(n=2), target()))
    assert [(choice.parts, choice.finish) for choice in response.choices] == [
        ((Text("one"),), "stop"),
        ((Text("two"),), "length"),
    ]


TIERS = [({"serviceTier": "standard"}, "default"), ({"trafficType": "ON_DEMAND_FLEX"}, "flex")]


@pytest.mark.parametrize(("metadata", "tier"), TIERS)
def test_case_23_the_service_tier_is_told_in_openais_words(metadata: JsonObject, tier: str) -> None:
    body = answer(text("hi"))
    body["usageMetadata"] = {**USAGE, **metadata}
    assert read(body).service_tier == tier


def test_blocks_that_only_gemini_understands_are_kept_whole() -> None:
    code: JsonObject = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": SIGNATURE}
    assert only(answer(code, text("1"))).parts == (Opaque("gemini", "executableCode", code), Text("1"))


def test_recitations_and_groundings_cite_characters_where_gemini_counts_bytes() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 8, "endIndex": 15, "text": "👋 da"}, "groundingChunkIndices": [0, 9]}],
    }
    recited = {"citations": [{"startIndex": 0, "endIndex": 7, "uri": "https://b.example"}]}
    body = answer(text("Grüße 👋 da"), groundingMetadata=grounding, citationMetadata=recited)
    part = only(body).parts[0]
    assert isinstance(part, Text)
    assert [(c.url, c.title, c.quote, c.start, c.end) for c in part.citations] == [
        ("https://a.example", "A", "👋 da", 6, 10),
        ("https://b.example", None, None, 0, 5),
    ]


class TestHiddenTool:
    def asked(self) -> Encoded:
        tool = Tool("look", parameters={"type": "object", "properties": {"q": {"type": "string"}}})
        wanted = ResponseFormat("json_schema", SCHEMA, "n")
        how, body = encoded(ask(tools=(tool,), response_format=wanted), target(BUDGET))
        assert how.hidden_tool == "answer_as_json" and how.emulated == ("response_format",)
        assert [d["name"] for d in body["tools"][0]["functionDeclarations"]] == ["look", "answer_as_json"]
        assert body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"
        assert "responseMimeType" not in body.get("generationConfig", {})
        return how

    def test_case_19_its_input_becomes_the_text_and_it_is_never_shown(self) -> None:
        choice = only(answer(text("Here: "), call("answer_as_json", {"a": 1}, signature=SIGNATURE)), self.asked())
        assert choice.parts == (Text('{"a":1}'),) and choice.finish == "stop"

    def test_case_19_user_tools_still_work_beside_it(self) -> None:
        choice = only(answer(call("look", {"q": "x"})), self.asked())
        assert isinstance(choice.parts[0], ToolCall) and choice.finish == "tool_calls"

    def test_case_19_text_is_the_answer_where_the_tool_was_not_called(self) -> None:
        assert only(answer(text("I can't.")), self.asked()).parts == (Text("I can't."),)

    def test_case_19_a_second_answer_is_not_glued_to_the_first(self) -> None:
        body = answer(call("answer_as_json", {"a": 1}), call("answer_as_json", {"a": 2}))
        assert only(body, self.asked()).parts == (Text('{"a":1}'),)

    def test_case_19_a_name_the_client_uses_is_not_taken_from_it(self) -> None:
        tool = Tool("answer_as_json", parameters=SCHEMA)
        wanted = ResponseFormat("json_schema", SCHEMA)
        assert encoded(ask(tools=(tool,), response_format=wanted), target(BUDGET))[0].hidden_tool == "answer_as_json_"

    def test_case_19_a_forced_call_leaves_no_room_for_the_format(self) -> None:
        tool = Tool("look", parameters=SCHEMA)
        request = ask(tools=(tool,), response_format=ResponseFormat("json_schema", SCHEMA), tool_choice=ToolChoice("required"))
        how, body = encoded(request, target(BUDGET))
        assert how.hidden_tool is None and "generationConfig" not in body


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"candidates":[]}', b'{"candidates":[{"content":{}}]}'])
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    assert refused(body).kind is ErrorKind.UPSTREAM_PROTOCOL


def test_an_error_in_a_200_is_that_error() -> None:
    assert refused({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}).kind is ErrorKind.RATE_LIMITED


@pytest.mark.parametrize("call_part", [{"name": ""}, {"name": "f", "args": []}, {"name": "f", "willContinue": True}, 3])
def test_a_call_that_is_not_whole_is_a_protocol_error(call_part: object) -> None:
    body = {"candidates": [{"content": {"parts": [{"functionCall": call_part}]}, "finishReason": "STOP"}]}
    assert refused(body).kind is ErrorKind.UPSTREAM_PROTOCOL
