"""What strict providers demand of a conversation: cases 3, 5, 6, 7, 8, 9 and 22."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.errors import GatewayError
from pllm.wire.history import (
    PLACEHOLDER_TURN,
    STUB_RESULT,
    allowed_tools,
    arrange,
    has_tool_blocks,
    is_prefill,
    limit_cache_marks,
    merge_turns,
    pair_tools,
    place_system,
    tools_from_history,
    without_empty_text,
)
from pllm.wire.neutral import CacheMark, Image, Inline, Message, Part, Request, Text, Tool, ToolCall, ToolChoice, ToolResult


def user(*parts: Part, path: str = "") -> Message:
    return Message("user", parts, path)


def assistant(*parts: Part, path: str = "") -> Message:
    return Message("assistant", parts, path)


def result(call_id: str, text: str = "ok") -> ToolResult:
    return ToolResult(call_id, (Text(text),))


CALLS = assistant(Text("Looking."), ToolCall("a", "f"), ToolCall("b", "g"), path="messages[1]")


def test_case_03_results_of_a_turn_and_the_words_after_them_become_one_user_turn_with_results_first() -> None:
    merged = merge_turns([CALLS, user(Text("and then?")), user(result("a")), user(result("b"))])
    assert merged[1].parts == (result("a"), result("b"), Text("and then?"))
    assert len(merged) == 2


def test_case_05_a_call_without_result_is_refused_by_name_and_place() -> None:
    with pytest.raises(GatewayError) as caught:
        pair_tools([user(Text("hi")), CALLS, user(result("a"))])
    assert caught.value.status == 400
    assert "'b' (g)" in caught.value.message
    assert caught.value.param == "messages[1]"


def test_case_05_a_result_without_call_is_refused_by_name_and_place() -> None:
    with pytest.raises(GatewayError) as caught:
        pair_tools([user(result("zz"), path="messages[0]")])
    assert "'zz'" in caught.value.message
    assert caught.value.param == "messages[0]"


def test_case_05_calls_at_the_end_of_history_are_refused() -> None:
    with pytest.raises(GatewayError):
        pair_tools([user(Text("hi")), CALLS])


def test_case_05_repair_answers_calls_with_stubs_and_drops_orphaned_and_repeated_results() -> None:
    history = pair_tools([CALLS, user(result("a"), result("a", "again"), result("zz"), Text("go on"))], repair=True)
    stub = ToolResult("b", (Text(STUB_RESULT),), is_error=True, name="g")
    assert history.turns[1].parts == (result("a"), stub, Text("go on"))
    assert history.dropped == ("tool_result:a", "tool_result:zz")
    assert history.emulated == ("tool_result:b",)


def test_case_05_repair_closes_calls_at_the_end_and_removes_turns_left_empty() -> None:
    at_end = pair_tools([user(Text("hi")), CALLS], repair=True)
    assert [type(part) for part in at_end.turns[-1].parts] == [ToolResult, ToolResult]
    emptied = pair_tools([user(Text("hi")), assistant(Text("yes")), user(result("zz")), assistant(Text("no"))], repair=True)
    assert [turn.role for turn in emptied.turns] == ["user", "assistant"]


def test_case_05_repair_finds_the_right_one_of_two_equal_turns() -> None:
    same = assistant(ToolCall("a", "f"))
    history = pair_tools([same, user(result("a")), same], repair=True)
    assert [turn.role for turn in history.turns] == ["assistant", "user", "assistant", "user"]


def test_case_06_specifications_are_rebuilt_from_the_names_in_history() -> None:
    messages = [CALLS, user(result("a")), assistant(ToolCall("c", "f"))]
    assert [tool.name for tool in tools_from_history(messages)] == ["f", "g"]
    assert all(tool.parameters == {"type": "object", "properties": {}} for tool in tools_from_history(messages))
    assert has_tool_blocks(messages)
    assert not has_tool_blocks([user(Text("hi"))])


def test_case_07_allowed_tools_filter_keeps_order_and_refuses_unknown_names() -> None:
    tools = (Tool("a"), Tool("b"), Tool("c"))
    assert allowed_tools(tools, ToolChoice("auto", allowed=("c", "a"))) == (Tool("a"), Tool("c"))
    assert allowed_tools(tools, ToolChoice("auto")) == tools
    assert allowed_tools(tools, None) == tools
    with pytest.raises(GatewayError, match="'zz'"):
        allowed_tools(tools, ToolChoice("required", allowed=("zz",)))


def test_case_08_a_later_system_message_keeps_its_place_and_is_reported() -> None:
    placed, changed = place_system([user(Text("hi")), Message("system", (Text("be brief"),), "messages[1]")])
    assert [message.role for message in placed] == ["user", "user"]
    assert placed[1].parts == (Text("<system>\nbe brief\n</system>"),)
    assert changed == ("messages[1].role",)


def test_case_08_a_system_message_between_call_and_result_does_not_part_them() -> None:
    history = arrange([user(Text("hi")), CALLS, Message("system", (Text("brief"),)), user(result("a"), result("b"))])
    assert history.turns[2].parts[:2] == (result("a"), result("b"))
    kept = arrange([user(Text("hi")), Message("system", (Text("brief"),))], keep_system=True)
    assert [turn.role for turn in kept.turns] == ["user", "system"]


def test_case_09_empty_text_goes_and_its_cache_mark_moves_to_the_part_before() -> None:
    mark = CacheMark("1h")
    image = Image(Inline(b"x", "image/png"))
    cleaned = without_empty_text([user(image, Text("  \n", cache=mark)), user(Text("")), user(Text("hi"))])
    assert cleaned == (user(Image(image.source, cache=mark)), user(Text("hi")))


def test_case_09_a_conversation_begins_with_the_user() -> None:
    for messages in ([], [assistant(Text("Welcome!"))]):
        history = arrange(messages)
        assert history.turns[0].parts == (Text(PLACEHOLDER_TURN),)
        assert history.emulated == ("messages[0]",)
    assert is_prefill(arrange([user(Text("a")), assistant(Text("b"))]).turns)
    assert not is_prefill(arrange([user(Text("a"))]).turns)


def test_case_22_too_many_marks_keep_the_last_of_each_section_and_the_latest_messages() -> None:
    mark = CacheMark()
    request = Request(
        "m",
        tuple(user(Text(str(n), mark)) for n in range(4)),
        system=(Text("s1", mark), Text("s2", mark)),
        tools=(Tool("a", cache=mark), Tool("b", cache=mark)),
    )
    limited, changed = limit_cache_marks(request, 4)
    assert [tool.cache for tool in limited.tools] == [None, mark]
    assert [text.cache for text in limited.system] == [None, mark]
    assert [part.cache for m in limited.messages for part in m.parts if isinstance(part, Text)] == [None, None, mark, mark]
    assert changed == ("cache_control",)
    assert limit_cache_marks(limited, 4) == (limited, ())


def test_case_22_a_longer_mark_behind_a_shorter_one_is_shortened() -> None:
    request = Request("m", (user(result("a"), Text("x", CacheMark("1h"))),), system=(Text("s", CacheMark("5m")),))
    limited, changed = limit_cache_marks(request, 4)
    assert limited.messages[0].parts[1] == Text("x", CacheMark("5m"))
    assert changed == ("cache_control.ttl",)


def test_case_22_a_model_without_prompt_caching_gets_no_marks_even_inside_tool_results() -> None:
    marked = ToolResult("a", (Text("x", CacheMark()),), cache=CacheMark())
    limited, changed = limit_cache_marks(Request("m", (user(marked),)), 0)
    assert limited.messages[0].parts == (ToolResult("a", (Text("x"),)),)
    assert changed == ("cache_control",)


_parts = st.one_of(
    st.sampled_from(["", " ", "hi"]).map(Text),
    st.sampled_from("abc").map(lambda name: ToolCall(name, "f")),
    st.sampled_from("abc").map(result),
)


def _messages() -> st.SearchStrategy[list[Message]]:
    speech = st.lists(_parts, max_size=3)
    return st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), speech).map(_legal), max_size=6)


def _legal(drawn: tuple[str, list[Text | ToolCall | ToolResult]]) -> Message:
    role, parts = drawn
    if role == "assistant":
        return assistant(*(part for part in parts if not isinstance(part, ToolResult)))
    kept = tuple(part for part in parts if not isinstance(part, ToolCall))
    return user(*kept) if role == "user" else Message("system", tuple(part for part in kept if isinstance(part, Text)))


@given(_messages())
@settings(deadline=None, max_examples=200)
def test_repaired_histories_always_satisfy_a_strict_provider(messages: list[Message]) -> None:
    turns = arrange(messages, repair=True).turns
    assert [turn.role for turn in turns] == ["user" if n % 2 == 0 else "assistant" for n in range(len(turns))]
    for turn, following in zip(turns, (*turns[1:], None), strict=True):
        assert turn.parts
        assert all(part.text.strip() for part in turn.parts if isinstance(part, Text))
        calls = {part.id for part in turn.parts if isinstance(part, ToolCall)}
        answers = [part.call_id for part in following.parts if isinstance(part, ToolResult)] if following else []
        assert sorted(answers) == sorted(calls)
    assert arrange(turns).turns == turns
