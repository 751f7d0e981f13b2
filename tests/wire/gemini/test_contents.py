"""Messages as contents: turns, tool results, thoughts and signatures (translation cases 2-6, 8-10, 12, 22)."""

from base64 import b64encode

import pytest
from tests.wire.gemini.judge import (
    BUDGET,
    LEVEL,
    ask,
    assistant,
    encoded,
    parts,
    refused,
    sent,
    target,
    user,
)
from tests.wire.gemini.provider import SIGNATURE

from pllm.core.errors import ErrorKind
from pllm.core.jsontext import JsonObject
from pllm.core.profile import ModelProfile
from pllm.wire.gemini.contents import SKIP_VALIDATOR
from pllm.wire.neutral import (
    CacheMark,
    Citation,
    Image,
    Inline,
    Message,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)


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

    def test_a_refusal_in_history_is_what_the_model_said(self) -> None:
        assert parts(ask(user("a"), assistant(Refusal("I won't.")), user("b")), 1) == [{"text": "I won't."}]

    def test_a_result_that_only_looks_like_json_is_text(self) -> None:
        history = (user("x"), assistant(ToolCall("c1", "f")), Message("user", (ToolResult("c1", (Text("{not json"),)),)))
        assert parts(ask(*history), 2)[0]["functionResponse"]["response"] == {"output": "{not json"}
