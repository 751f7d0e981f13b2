"""What is sent to Gemini: every body is read by google-genai's types first (see judge.py)."""

from base64 import b64encode
from typing import Any

import pytest
from tests.wire.gemini.judge import BUDGET, LEVEL, ask, assistant, encoded, sent, target, user
from tests.wire.gemini.provider import SIGNATURE

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini import upstream
from pllm.wire.gemini.contents import SKIP_VALIDATOR
from pllm.wire.gemini.request import resource
from pllm.wire.lane import Target
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Citation,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Url,
)

OBJECT: JsonObject = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
LOOK, FIND = Tool("look", "Looks.", OBJECT), Tool("find", None, OBJECT)
DROP = target(drop_unsupported=True)


def refused(request: Request, to: Target | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        upstream.encode(request, to or target())
    assert caught.value.status == 400
    return caught.value


def config(request: Request, to: Target | None = None) -> JsonObject:
    found: JsonObject = sent(request, to).get("generationConfig", {})
    return found


def parts(request: Request, turn: int = 0, to: Target | None = None) -> list[JsonObject]:
    found: list[JsonObject] = sent(request, to)["contents"][turn]["parts"]
    return found


class TestAddress:
    def test_the_path_names_model_and_method(self) -> None:
        plain = upstream.encode(ask(), target()).request
        assert (plain.path, plain.query, plain.stream) == ("models/gemini-x:generateContent", "", False)
        streamed = upstream.encode(ask(stream=True), target()).request
        assert (streamed.path, streamed.query) == ("models/gemini-x:streamGenerateContent", "alt=sse")

    @pytest.mark.parametrize(
        ("model", "path"),
        [
            ("gemini-2.5-flash@001", "models/gemini-2.5-flash@001"),
            ("tunedModels/mine", "tunedModels/mine"),
            ("endpoints/123", "endpoints/123"),
            ("a b?c", "models/a%20b%3Fc"),
        ],
    )
    def test_models_and_tuned_models(self, model: str, path: str) -> None:
        assert resource(model) == path


class TestToolTurns:
    HISTORY = (
        user("go"),
        assistant("On it.", ToolCall("c1", "look", '{"q":"a"}'), ToolCall("c2", "look", '{"q":"b"}')),
        Message("user", (ToolResult("c2", (Text("second"),)),), "messages[2]"),
        Message("user", (ToolResult("c1", (Text('{"n": 1}'),)), Text("thanks")), "messages[3]"),
    )

    def test_case_02_empty_arguments_are_an_object_and_bad_ones_a_400_naming_the_message(self) -> None:
        result = Message("user", (ToolResult("c1", ()),))
        assert parts(ask(user("x"), assistant(ToolCall("c1", "f", "")), result), 1)[0]["functionCall"]["args"] == {}
        assert parts(ask(user("x"), assistant(ToolCall("c1", "f", "null")), result), 1)[0]["functionCall"]["args"] == {}
        error = refused(ask(user("x"), assistant(ToolCall("c1", "f", "{oops")), result))
        assert "messages[1]" in error.message and error.param == "messages[1]"
        assert "not an object" in refused(ask(user("x"), assistant(ToolCall("c1", "f", "[1]")), result)).message

    def test_case_03_all_results_are_one_turn_in_the_order_of_their_calls_before_any_text(self) -> None:
        body = sent(ask(*self.HISTORY))
        assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
        assert body["contents"][2]["parts"] == [
            {"functionResponse": {"name": "look", "response": {"n": 1}}},
            {"functionResponse": {"name": "look", "response": {"output": "second"}}},
            {"text": "thanks"},
        ]

    def test_case_03_an_error_is_one_and_media_follow_the_results(self) -> None:
        picture = Image(Inline(b"png", "image/png"))
        results = Message("user", (ToolResult("c1", (Text("boom"),), is_error=True), ToolResult("c2", (Text("ok"), picture))))
        found = parts(ask(*self.HISTORY[:2], results), 2)
        assert found[0]["functionResponse"]["response"] == {"error": "boom"}
        assert found[2:] == [
            {"text": "Returned by look:"},
            {"inlineData": {"mimeType": "image/png", "data": b64encode(b"png").decode()}},
        ]

    def test_case_04_text_beside_calls_is_kept(self) -> None:
        assert parts(ask(*self.HISTORY), 1)[0] == {"text": "On it."}

    def test_case_05_orphans_are_a_400_or_repaired_and_reported(self) -> None:
        assert "c1" in refused(ask(user("x"), assistant(ToolCall("c1", "f")), user("y"))).message
        how, body = encoded(ask(user("x"), assistant(ToolCall("c1", "f")), user("y")), target(repair_history=True))
        assert "functionResponse" in body["contents"][2]["parts"][0] and how.emulated == ("tool_result:c1",)

    def test_case_06_tool_history_needs_no_tools_here_and_no_choice_is_sent(self) -> None:
        body = sent(ask(*self.HISTORY, tool_choice=ToolChoice("auto"), parallel_tool_calls=False))
        assert "tools" not in body and "toolConfig" not in body

    def test_ids_are_sent_to_the_gemini_api_alone_and_never_made_up_ones(self) -> None:
        gemini = target(variant="gemini")
        assert parts(ask(*self.HISTORY), 1, gemini)[1]["functionCall"]["id"] == "c1"
        assert parts(ask(*self.HISTORY), 2, gemini)[0]["functionResponse"]["id"] == "c1"
        assert "id" not in parts(ask(*self.HISTORY), 1, target(variant="vertex"))[1]["functionCall"]
        made_up = (user("x"), assistant(ToolCall("gem-r-0-0", "f")), Message("user", (ToolResult("gem-r-0-0", ()),)))
        assert parts(ask(*made_up), 1, gemini)[0]["functionCall"] == {"name": "f", "args": {}}


class TestToolChoice:
    def chosen(self, choice: ToolChoice | None, **fields: Any) -> tuple[list[str], JsonObject]:
        body = sent(ask(tools=(LOOK, FIND), tool_choice=choice, **fields))
        return [tool["name"] for tool in body["tools"][0]["functionDeclarations"]], body.get("toolConfig", {})

    @pytest.mark.parametrize(
        ("choice", "wanted"),
        [
            (None, {}),
            (ToolChoice("auto"), {}),
            (ToolChoice("none"), {"functionCallingConfig": {"mode": "NONE"}}),
            (ToolChoice("required"), {"functionCallingConfig": {"mode": "ANY"}}),
            (ToolChoice("named", "find"), {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]}}),
            (
                ToolChoice("required", allowed=("look",)),
                {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
            ),
        ],
    )
    def test_case_07_modes(self, choice: ToolChoice | None, wanted: JsonObject) -> None:
        assert self.chosen(choice) == (["look", "find"], wanted)

    def test_case_07_allowed_tools_under_auto_are_the_only_ones_sent(self) -> None:
        assert self.chosen(ToolChoice("auto", allowed=("find",))) == (["find"], {})

    def test_case_07_an_unknown_name_is_a_400(self) -> None:
        assert "'nope'" in refused(ask(tools=(LOOK,), tool_choice=ToolChoice("named", "nope"))).message
        assert "'nope'" in refused(ask(tools=(LOOK,), tool_choice=ToolChoice("auto", allowed=("nope",)))).message

    def test_case_07_serial_calls_cannot_be_promised(self) -> None:
        assert refused(ask(tools=(LOOK,), parallel_tool_calls=False)).param == "parallel_tool_calls"
        assert encoded(ask(tools=(LOOK,), parallel_tool_calls=False), DROP)[0].dropped == ("parallel_tool_calls",)
        assert self.chosen(None, parallel_tool_calls=True)[1] == {}

    def test_strict_tools_are_validated_natively(self) -> None:
        body = sent(ask(tools=(Tool("f", None, OBJECT, strict=True),)))
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


class TestTools:
    def test_case_20_parameters_take_the_form_that_keeps_most(self) -> None:
        free = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}}
        unique = {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}
        how, body = encoded(ask(tools=(LOOK, Tool("free", None, free), Tool("unique", None, unique), Tool("bare"))))
        look, free_form, lossy, bare = body["tools"][0]["functionDeclarations"]
        assert look["parameters"]["properties"] == {"q": {"type": "STRING"}} and look["description"] == "Looks."
        assert free_form["parametersJsonSchema"] == free
        assert "uniqueItems" not in str(lossy) and how.dropped == ("tools.unique.properties.l.uniqueItems",)
        assert bare == {"name": "bare"}

    @pytest.mark.parametrize(
        ("raw", "wanted"),
        [
            ({"googleSearch": {}}, {"googleSearch": {}}),
            ({"google_search": {}}, {"googleSearch": {}}),
            ({"type": "google_search"}, {"googleSearch": {}}),
            ({"type": "code_execution"}, {"codeExecution": {}}),
            (
                {"type": "file_search", "file_search_store_names": ["s"]},
                {"fileSearch": {"fileSearchStoreNames": ["s"]}},
            ),
        ],
    )
    def test_googles_own_tools_go_through(self, raw: JsonObject, wanted: JsonObject) -> None:
        assert sent(ask(tools=(Tool("", raw=raw),)))["tools"] == [wanted]

    def test_own_and_googles_tools_together(self) -> None:
        body = sent(ask(tools=(LOOK, Tool("", raw={"googleSearch": {}}))))
        assert len(body["tools"]) == 2 and body["toolConfig"] == {"includeServerSideToolInvocations": True}

    def test_case_23_another_providers_tool_is_refused_by_name(self) -> None:
        tool = Tool("web_search", dialect="messages", raw={"type": "web_search_20250305", "name": "web_search"})
        assert refused(ask(tools=(tool,))).param == "tools.web_search"
        assert "tools" not in sent(ask(tools=(tool,)), DROP)


class TestTurns:
    def test_case_08_leading_system_blocks_are_the_instruction_and_later_ones_keep_their_place(self) -> None:
        how, body = encoded(
            ask(
                user("a"),
                assistant("b"),
                Message("system", (Text("be brief"),), "messages[2]"),
                user("c"),
                system=(Text("one"), Text("two")),
            )
        )
        assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
        assert body["contents"][2]["parts"] == [{"text": "<system>\nbe brief\n</system>"}, {"text": "c"}]
        assert how.emulated == ("messages[2].role",)

    def test_case_09_turns_alternate_start_with_the_user_and_hold_no_empty_text(self) -> None:
        how, body = encoded(ask(assistant("hi"), assistant("there"), user(" "), user("a"), user("b")))
        assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
        assert body["contents"][1]["parts"] == [{"text": "hi"}, {"text": "there"}]
        assert body["contents"][2]["parts"] == [{"text": "a"}, {"text": "b"}]
        assert how.emulated == ("messages[0]",)

    def test_case_09_prefill_is_passed_or_refused_as_the_model_takes_it(self) -> None:
        assert parts(ask(user("a"), assistant("Sure, ")), 1) == [{"text": "Sure, "}]
        error = refused(ask(user("a"), assistant("Sure, ")), target(ModelProfile(supports_prefill=False)))
        assert "my-gemini" in error.message and error.param == "messages[1]"

    def test_case_10_only_geminis_own_signed_thinking_goes_back(self) -> None:
        thought = Thinking("hm", SIGNATURE, origin="gemini")
        foreign = [Thinking("hm", SIGNATURE, origin="anthropic"), Thinking("hm", origin="gemini"), Thinking(redacted="x")]
        how, body = encoded(ask(user("a"), assistant(thought, *foreign, "b"), user("c")))
        assert body["contents"][1]["parts"] == [{"text": "hm", "thought": True, "thoughtSignature": SIGNATURE}, {"text": "b"}]
        assert how.dropped == ("thinking",)

    def test_case_12_a_signature_behind_text_goes_back_on_that_text(self) -> None:
        proof = Thinking("", SIGNATURE, origin="gemini")
        assert parts(ask(user("a"), assistant("b", proof), user("c")), 1) == [{"text": "b", "thoughtSignature": SIGNATURE}]
        assert parts(ask(user("a"), assistant(proof), user("c")), 1) == [{"text": "", "thoughtSignature": SIGNATURE}]

    @pytest.mark.parametrize(
        ("profile", "first", "wanted"),
        [
            (LEVEL, ToolCall("c1", "f", signature=SIGNATURE, origin="gemini"), SIGNATURE),
            (LEVEL, ToolCall("c1", "f", signature="theirs", origin="openai"), SKIP_VALIDATOR),
            (LEVEL, ToolCall("c1", "f"), SKIP_VALIDATOR),
            (ModelProfile(), ToolCall("c1", "f"), SKIP_VALIDATOR),
            (BUDGET, ToolCall("c1", "f"), None),
            (BUDGET, ToolCall("c1", "f", signature=SIGNATURE, origin="gemini"), SIGNATURE),
        ],
    )
    def test_case_12_of_parallel_calls_the_first_is_signed_and_foreign_history_skips_the_check(
        self, profile: ModelProfile, first: ToolCall, wanted: str | None
    ) -> None:
        results = Message("user", (ToolResult("c1", ()), ToolResult("c2", ())))
        found = parts(ask(user("a"), assistant(first, ToolCall("c2", "g")), results), 1, target(profile))
        assert found[0].get("thoughtSignature") == wanted and "thoughtSignature" not in found[1]

    def test_case_12_of_sequential_calls_every_one_is_signed(self) -> None:
        def step(call_id: str) -> tuple[Message, Message]:
            call = ToolCall(call_id, "f", signature=f"{SIGNATURE}AA{call_id}", origin="gemini")
            return assistant(call), Message("user", (ToolResult(call_id, ()),))

        body = sent(ask(user("a"), *step("c1"), *step("c2")), target(LEVEL))
        signatures = [p["thoughtSignature"] for c in body["contents"] for p in c["parts"] if "functionCall" in p]
        assert signatures == [f"{SIGNATURE}AAc1", f"{SIGNATURE}AAc2"]

    def test_geminis_opaque_blocks_go_back_as_they_came_and_others_are_refused(self) -> None:
        raw: JsonObject = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": SIGNATURE}
        assert parts(ask(user("a"), assistant(Opaque("gemini", "executableCode", raw)), user("b")), 1) == [raw]
        error = refused(ask(user("a"), assistant(Opaque("messages", "server_tool_use", {})), user("b")))
        assert error.param == "messages[1].server_tool_use" and error.kind is ErrorKind.UNSUPPORTED_PARAMETER

    def test_case_22_cache_marks_are_taken_off_and_reported(self) -> None:
        how, body = encoded(ask(Message("user", (Text("a", CacheMark()),)), system=(Text("s", CacheMark("1h")),)))
        assert how.dropped == ("cache_control",) and "cache" not in str(body)

    def test_names_and_citations_of_history_are_reported_as_left_out(self) -> None:
        cited = Message("assistant", (Text("b", citations=(Citation("https://a"),)),))
        how, _ = encoded(ask(Message("user", (Text("a"),), "messages[0]", "Ann"), cited, user("c")))
        assert how.dropped == ("messages[0].name", "citations")


class TestMedia:
    def test_case_21_bytes_are_inline(self) -> None:
        found = parts(
            ask(user("see", Image(Inline(b"x", "image/png; a=b")), Document(Inline(b"%PDF", "application/pdf"), "a.pdf")))
        )
        assert [part["inlineData"]["mimeType"] for part in found[1:]] == ["image/png", "application/pdf"]

    @pytest.mark.parametrize(
        ("part", "wanted"),
        [
            (Image(Url("gs://b/a.png")), {"mimeType": "image/png", "fileUri": "gs://b/a.png"}),
            (Image(Url("https://x.example/p?q=1.gif")), {"mimeType": "image/jpeg", "fileUri": "https://x.example/p?q=1.gif"}),
            (Document(Url("https://x.example/a"), "b.PDF"), {"mimeType": "application/pdf", "fileUri": "https://x.example/a"}),
            (Document(Url("https://youtu.be/1")), {"mimeType": "video/mp4", "fileUri": "https://youtu.be/1"}),
            (Audio(Url("gs://b/a"), "mp3"), {"mimeType": "audio/mpeg", "fileUri": "gs://b/a"}),
            (Document(FileId("files/9")), {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/9"}),
        ],
    )
    def test_case_21_addresses_are_files_with_their_type(self, part: Any, wanted: JsonObject) -> None:
        assert parts(ask(user(part))) == [{"fileData": wanted}]

    def test_case_21_audio_formats_are_mapped_or_refused(self) -> None:
        assert parts(ask(user(Audio(Inline(b"x", ""), "wav"))))[0]["inlineData"]["mimeType"] == "audio/wav"
        assert "'xyz'" in refused(ask(user(Audio(Inline(b"x", ""), "xyz")))).message

    def test_case_21_a_file_of_another_provider_is_refused(self) -> None:
        error = refused(ask(user(Document(FileId("file-abc")))))
        assert "'file-abc'" in error.message and error.param == "messages[0]"

    @pytest.mark.parametrize(
        ("url", "itself"),
        [
            ("gs://bucket/a.png", True),
            ("https://generativelanguage.googleapis.com/v1beta/files/9", True),
            ("https://www.youtube.com/watch?v=1", True),
            ("https://example.com/a.png", False),
            ("https://youtube.com.evil.example/", False),
            ("http://youtu.be/1", False),
        ],
    )
    def test_case_21_what_gemini_resolves_itself_is_not_fetched_for_it(self, url: str, itself: bool) -> None:
        assert upstream.takes_url(url) is itself
        assert upstream.needs_bytes == {"image", "audio", "document"}

    def test_case_21_hints_are_reported(self) -> None:
        assert encoded(ask(user(Image(Inline(b"x", "image/png"), "high"))))[0].dropped == ("image_url.detail",)


class TestThinking:
    @pytest.mark.parametrize(
        ("profile", "asked", "wanted"),
        [
            (LEVEL, Reasoning(effort="low"), {"thinkingLevel": "LOW", "includeThoughts": True}),
            (LEVEL, Reasoning(effort="minimal"), {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
            (LEVEL, Reasoning(effort="high", display="omitted"), {"thinkingLevel": "HIGH"}),
            (LEVEL, Reasoning(enabled=True, adaptive=True), {"includeThoughts": True}),
            (BUDGET, Reasoning(effort="medium"), {"thinkingBudget": 8192, "includeThoughts": True}),
            (BUDGET, Reasoning(budget_tokens=2000), {"thinkingBudget": 2000, "includeThoughts": True}),
            (BUDGET, Reasoning(enabled=True, adaptive=True), {"thinkingBudget": -1, "includeThoughts": True}),
            (BUDGET, Reasoning(enabled=False), {"thinkingBudget": 0}),
            (BUDGET, Reasoning(effort="none"), {"thinkingBudget": 0}),
            (ModelProfile(thinking="none"), Reasoning(effort="none"), None),
        ],
    )
    def test_case_11_budget_or_level(self, profile: ModelProfile, asked: Reasoning, wanted: JsonObject | None) -> None:
        assert config(ask(reasoning=asked), target(profile)).get("thinkingConfig") == wanted

    @pytest.mark.parametrize(
        ("asked", "level", "report"),
        [
            (Reasoning(effort="xhigh"), "HIGH", "reasoning_effort=high"),
            (Reasoning(effort="max"), "HIGH", "reasoning_effort=high"),
            (Reasoning(budget_tokens=1024), "LOW", "thinking.budget_tokens=thinkingLevel:low"),
            (Reasoning(budget_tokens=4096), "MEDIUM", "thinking.budget_tokens=thinkingLevel:medium"),
            (Reasoning(budget_tokens=16000), "HIGH", "thinking.budget_tokens=thinkingLevel:high"),
        ],
    )
    def test_case_11_what_has_no_equal_is_mapped_and_reported(self, asked: Reasoning, level: str, report: str) -> None:
        how, body = encoded(ask(reasoning=asked), target(LEVEL))
        assert body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level and how.emulated == (report,)

    def test_case_11_an_efforts_budget_leaves_half_of_the_cap_and_a_clients_own_must_fit(self) -> None:
        asked = ask(reasoning=Reasoning(effort="high"), max_tokens=4000)
        assert config(asked, target(BUDGET))["thinkingConfig"]["thinkingBudget"] == 2000
        error = refused(ask(reasoning=Reasoning(budget_tokens=4000), max_tokens=4000), target(BUDGET))
        assert error.param == "thinking.budget_tokens"

    @pytest.mark.parametrize(
        ("profile", "asked"),
        [
            (LEVEL, Reasoning(effort="none")),
            (LEVEL, Reasoning(enabled=False)),
            (ModelProfile(thinking="none"), Reasoning(effort="low")),
            (ModelProfile(thinking="always"), Reasoning(effort="low")),
        ],
    )
    def test_case_11_what_a_model_cannot_do_is_an_error_or_reported(self, profile: ModelProfile, asked: Reasoning) -> None:
        assert refused(ask(reasoning=asked), target(profile)).param == "reasoning_effort"
        how, body = encoded(ask(reasoning=asked), target(profile, drop_unsupported=True))
        assert how.dropped == ("reasoning_effort",) and "thinkingConfig" not in body.get("generationConfig", {})

    def test_case_11_an_unknown_effort_is_a_400_that_lists_the_known(self) -> None:
        assert "minimal, low" in refused(ask(reasoning=Reasoning(effort="huge"))).message


class TestGenerationConfig:
    def test_case_23_and_24_what_gemini_has_natively_keeps_its_value(self) -> None:
        asked = ask(
            n=2,
            stop=("a", "b"),
            max_tokens=7,
            temperature=1.5,
            top_p=0.5,
            top_k=40,
            seed=3,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=5,
        )
        assert config(asked) == {
            "candidateCount": 2,
            "stopSequences": ["a", "b"],
            "maxOutputTokens": 7,
            "temperature": 1.5,
            "topP": 0.5,
            "topK": 40,
            "seed": 3,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 5,
        }
        assert "generationConfig" not in sent(ask())

    def test_case_14_too_many_stop_sequences_are_a_400_and_not_cut(self) -> None:
        assert refused(ask(stop=tuple("abcdef"))).param == "stop"
        assert refused(ask(stop=("a", "b")), target(ModelProfile(max_stop_sequences=1))).param == "stop"

    def test_case_24_the_cap_comes_from_client_then_defaults_then_profile(self) -> None:
        profile = ModelProfile(default_max_tokens=30)
        assert config(ask(max_tokens=10), target(profile, defaults={"max_tokens": 20}))["maxOutputTokens"] == 10
        assert config(ask(), target(profile, defaults={"max_tokens": 20}))["maxOutputTokens"] == 20
        assert config(ask(), target(profile))["maxOutputTokens"] == 30

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"logit_bias": {"1": 2}}, "logit_bias"),
            ({"verbosity": "low"}, "verbosity"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"service_tier": "flex"}, "service_tier"),
            ({"extras": {"prediction": {}}}, "prediction"),
            ({"extras": {"extra_body": {"foo": 1}}}, "extra_body.foo"),
            ({"extras": {"store": True}}, "store"),
            ({"extras": {"modalities": ["text", "audio"]}}, "modalities"),
        ],
    )
    def test_case_23_what_gemini_lacks_is_a_400_by_name_or_dropped_and_listed(self, fields: dict[str, Any], param: str) -> None:
        error = refused(ask(**fields))
        assert error.param == param and "my-gemini" in error.message
        how, _ = encoded(ask(**fields), DROP)
        assert how.dropped == (param,)

    def test_case_23_the_profile_and_the_provider_may_refuse_more(self) -> None:
        narrow = target(ModelProfile(refused_params=frozenset({"temperature", "reasoning_effort"})))
        assert refused(ask(temperature=1.0), narrow).param == "temperature"
        assert refused(ask(reasoning=Reasoning(effort="low")), narrow).param == "reasoning_effort"
        assert sent(ask(), narrow)

    def test_case_23_more_candidates_than_there_are_is_a_400(self) -> None:
        assert refused(ask(n=9)).param == "n"

    def test_case_23_bookkeeping_is_left_out_and_reported_but_never_refused(self) -> None:
        how, _ = encoded(ask(user="u", metadata={"a": "b"}, extras={"prompt_cache_key": "k", "store": False}))
        assert how.dropped == ("user", "metadata", "prompt_cache_key", "store")

    def test_case_23_the_service_tier_is_a_field_or_a_header(self) -> None:
        assert sent(ask(service_tier="flex"), target(variant="gemini"))["serviceTier"] == "flex"
        how, body = encoded(ask(service_tier="priority"), target(variant="vertex"))
        assert how.request.headers == {"x-vertex-ai-llm-shared-request-type": "priority"} and "serviceTier" not in body
        assert "serviceTier" not in sent(ask(service_tier="auto"), target(variant="gemini"))


class TestExtras:
    def test_geminis_own_fields_pass_in_either_spelling_and_win(self) -> None:
        safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
        extras = {
            "safety_settings": safety,
            "cachedContent": "cachedContents/1",
            "generation_config": {"media_resolution": "MEDIA_RESOLUTION_LOW", "topK": 3},
            "extra_body": {"google": {"thinking_config": {"thinking_level": "low"}}},
        }
        body = sent(ask(extras=extras, top_k=9, reasoning=Reasoning(effort="high")))
        assert body["safetySettings"] == safety and body["cachedContent"] == "cachedContents/1"
        assert body["generationConfig"] == {
            "topK": 3,
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
        }

    def test_labels_are_vertexs(self) -> None:
        assert sent(ask(extras={"labels": {"cost_center": "a"}}), target(variant="vertex"))["labels"] == {"cost_center": "a"}
        assert refused(ask(extras={"labels": {}}), target(variant="gemini")).param == "labels"

    def test_a_field_of_the_wrong_type_is_a_400(self) -> None:
        assert refused(ask(extras={"labels": 3})).param == "labels"
        assert refused(ask(extras={"modalities": "text"})).param == "modalities"

    def test_modalities(self) -> None:
        assert config(ask(extras={"modalities": ["text", "image"]})) == {"responseModalities": ["TEXT", "IMAGE"]}
        assert config(ask(extras={"modalities": ["text"]})) == {}

    def test_configured_defaults_reach_them(self) -> None:
        assert sent(ask(), target(defaults={"cachedContent": "c", "temperature": 0.5}))["cachedContent"] == "c"


class TestStructuredOutput:
    WANTED = ResponseFormat("json_schema", OBJECT, "n")

    def test_case_19_native_where_there_is_one(self) -> None:
        how, body = encoded(ask(response_format=self.WANTED))
        assert body["generationConfig"]["responseMimeType"] == "application/json"
        assert body["generationConfig"]["responseSchema"]["properties"] == {"q": {"type": "STRING"}}
        assert how.emulated == () and how.hidden_tool is None

    def test_case_19_a_json_object_is_not_a_schema(self) -> None:
        assert config(ask(response_format=ResponseFormat("json_object"))) == {"responseMimeType": "application/json"}
        assert config(ask(response_format=ResponseFormat("text"))) == {}

    def test_case_20_maps_go_as_json_schema(self) -> None:
        schema = {"type": "object", "additionalProperties": {"type": "integer"}}
        assert config(ask(response_format=ResponseFormat("json_schema", schema)))["responseJsonSchema"] == schema

    def test_case_19_tools_and_a_schema_go_together_where_the_model_takes_both(self) -> None:
        how, body = encoded(ask(response_format=self.WANTED, tools=(LOOK,)), target(LEVEL))
        assert how.hidden_tool is None and "responseSchema" in body["generationConfig"]

    def test_case_19_without_a_schema_there_is_nothing_to_imitate(self) -> None:
        asked = ask(response_format=ResponseFormat("json_object"), tools=(LOOK,))
        assert refused(asked, target(BUDGET)).param == "response_format"
        how, _ = encoded(asked, target(BUDGET, drop_unsupported=True))
        assert how.dropped == ("response_format",) and how.hidden_tool is None
