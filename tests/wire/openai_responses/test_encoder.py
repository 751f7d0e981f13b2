import json
from typing import Any

import pytest
from openai.types.responses import Response as SdkResponse
from tests.wire.openai_responses.encoded import CONTEXT, TOOL, Events, answer, asked, names, stream

from pllm.core.errors import GatewayError, broken_stream
from pllm.wire.folding import unfold
from pllm.wire.neutral import (
    BlockStop,
    Choice,
    Citation,
    End,
    Event,
    Failure,
    Finish,
    FinishReason,
    LogprobsDelta,
    Opaque,
    OpaqueBlock,
    Ping,
    Refusal,
    Response,
    Start,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallStart,
    Usage,
    UsageUpdate,
)
from pllm.wire.openai_responses import client


def encode(response: Response, **fields: Any) -> dict[str, Any]:
    body = client.encode(response, asked(**fields), CONTEXT)
    SdkResponse.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def test_the_grammar_of_a_text_answer(strict_events: Events) -> None:
    found = strict_events(stream(unfold(answer(Text("Hello")))))
    assert names(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert {event["item_id"] for event in found if "item_id" in event} == {"msg_5eed_0"}
    assert found[0]["response"]["status"] == "in_progress"
    assert found[0]["response"]["created_at"] == 1_700_000_001


def test_the_grammar_of_thinking_then_a_call(strict_events: Events) -> None:
    thinking = Thinking("Hm.", "SIG", origin="anthropic")
    found = strict_events(stream(unfold(answer(thinking, ToolCall("c1", "f", '{"a":1}'), finish="tool_calls"))))
    assert names(found)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert [event["output_index"] for event in found[2:-1]] == [0] * 6 + [1] * 4


def test_the_stream_ends_with_its_terminal_event_and_no_done_marker() -> None:
    written = stream(unfold(answer(Text("Hi"))))
    assert b"[DONE]" not in written
    assert written.rstrip().split(b"\n\n")[-1].startswith(b"event: response.completed\n")


def test_nothing_follows_the_terminal_event() -> None:
    encoder = client.encoder(asked(), CONTEXT)
    assert encoder.feed(unfold(answer(Text("Hi"))))
    assert encoder.feed([TextDelta(0, "more"), Ping(), End(), Failure(broken_stream("late"))]) == b""


def test_the_same_seed_makes_the_same_ids() -> None:
    response = answer(Text("a"), ToolCall("c1", "f"), Thinking("t"))
    assert client.encode(response, asked(), CONTEXT) == client.encode(response, asked(), CONTEXT)
    assert [item["id"] for item in encode(response)["output"]] == ["msg_5eed_0", "fc_5eed_1", "rs_pllm_5eed_2"]


def test_case_01_parallel_calls_are_items_of_their_own_with_their_own_fragments(strict_events: Events) -> None:
    events: list[Event] = [
        Start("u", "m"),
        TextDelta(0, "Both."),
        ToolCallStart(1, "c1", "f"),
        ToolCallStart(2, "c2", "g"),
        ToolCallDelta(2, '{"b"'),
        ToolCallDelta(1, '{"a"'),
        ToolCallDelta(2, ":2}"),
        ToolCallDelta(1, ":1}"),
        Finish("tool_calls"),
        End(),
    ]
    found = strict_events(stream(events))
    added = [event["item"] for event in found if event["type"] == "response.output_item.added"]
    assert [(item["type"], item.get("call_id")) for item in added] == [
        ("message", None),
        ("function_call", "c1"),
        ("function_call", "c2"),
    ]
    fragments = [(e["output_index"], e["delta"]) for e in found if e["type"] == "response.function_call_arguments.delta"]
    assert fragments == [(2, '{"b"'), (1, '{"a"'), (2, ":2}"), (1, ":1}")]
    assert [item.get("arguments") for item in found[-1]["response"]["output"]] == [None, '{"a":1}', '{"b":2}']


def test_case_02_a_call_without_arguments_ends_as_an_empty_object(strict_events: Events) -> None:
    events: list[Event] = [
        Start(),
        ToolCallStart(0, "c1", "f"),
        ToolCallDelta(0, ""),
        BlockStop(0),
        Finish("tool_calls"),
        End(),
    ]
    found = strict_events(stream(events))
    deltas = [event["delta"] for event in found if event["type"] == "response.function_call_arguments.delta"]
    assert deltas == ["{}"]
    assert found[-1]["response"]["output"][0]["arguments"] == "{}"


def test_case_04_several_text_blocks_are_parts_of_one_message_in_order() -> None:
    (message, call) = encode(answer(Text("a"), Text("b"), ToolCall("c1", "f"), finish="tool_calls"))["output"]
    assert [part["text"] for part in message["content"]] == ["a", "b"]
    assert call["status"] == "completed"


def test_text_after_a_call_is_a_message_of_its_own() -> None:
    output = encode(answer(Text("a"), ToolCall("c1", "f"), Text("b")))["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "message"]


def test_case_10_foreign_proof_travels_sealed_and_comes_back_whole() -> None:
    blocks = (
        Thinking("Hm.", "S:i:g", origin="anthropic"),
        Thinking(redacted="XX", origin="anthropic"),
        Thinking("", "ENC", origin="openai", id="rs_theirs"),
        Thinking("Open."),
    )
    items = encode(answer(*blocks))["output"]
    assert items[2]["encrypted_content"] == "ENC"
    assert items[2]["id"] == "rs_theirs"
    assert "encrypted_content" not in items[3]
    (turn,) = asked(input=[*items]).messages
    assert [(part.text, part.signature, part.redacted, part.origin) for part in turn.parts if isinstance(part, Thinking)] == [
        (block.text, block.signature, block.redacted, block.origin) for block in blocks
    ]


def test_case_10_a_signature_may_come_in_its_own_delta_at_the_end(strict_events: Events) -> None:
    events: list[Event] = [
        Start(),
        ThinkingDelta(0, "Hm", origin="anthropic"),
        ThinkingDelta(0, "m."),
        ThinkingDelta(0, signature="SIG", origin="anthropic"),
        BlockStop(0),
        Finish("stop"),
        End(),
    ]
    (item,) = strict_events(stream(events))[-1]["response"]["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert item["encrypted_content"] == "pllm1:anthropic:signature:SIG"


def test_case_12_geminis_signature_stands_on_the_call_and_comes_back() -> None:
    call = ToolCall("c1", "f", "{}", "TS", "gemini")
    (item,) = encode(answer(call, finish="tool_calls"))["output"]
    assert item["extra_content"] == {"google": {"thought_signature": "TS"}}
    assert asked(input=[item]).messages[0].parts == (call,)


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_case_13_every_finish_has_a_status(
    finish: FinishReason, status: str, reason: str | None, strict_events: Events
) -> None:
    response = answer(Text("Hel"), finish=finish)
    found = encode(response)
    assert found["status"] == status
    assert found["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert found["output"][0]["status"] == status
    last = strict_events(stream(unfold(response)))[-1]
    assert last["type"] == f"response.{status}"
    assert last["response"] == found


def test_case_13_a_refusal_in_words_is_a_completed_answer_that_keeps_them(strict_events: Events) -> None:
    response = answer(Refusal("I would rather not."), finish="refusal")
    found = encode(response)
    assert found["status"] == "completed"
    assert found["output"][0]["content"] == [{"type": "refusal", "refusal": "I would rather not."}]
    assert names(strict_events(stream(unfold(response))))[3:7] == [
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
    ]


def test_case_13_a_paused_turn_is_incomplete_without_a_reason() -> None:
    found = encode(answer(Text("Hel"), finish="pause"))
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": None})


def test_only_the_last_item_of_a_cut_answer_is_incomplete() -> None:
    output = encode(answer(Text("a"), ToolCall("c1", "f", '{"a"'), finish="length"))["output"]
    assert [item["status"] for item in output] == ["completed", "incomplete"]


def test_case_15_usage_counts_cached_tokens_as_input() -> None:
    usage = Usage(input=10, cache_read=5, cache_write_5m=3, cache_write_1h=2, output=7, reasoning=4)
    assert encode(answer(Text("a"), usage=usage))["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 27,
    }


def test_case_15_later_figures_replace_earlier_ones(events: Events) -> None:
    figures: list[Event] = [
        Start(usage=Usage(input=9)),
        TextDelta(0, "a"),
        UsageUpdate(Usage(input=9, output=1)),
        UsageUpdate(Usage(input=9, output=4)),
        Finish("stop"),
        End(),
    ]
    assert events(stream(figures))[-1]["response"]["usage"]["total_tokens"] == 13


def test_settings_are_repeated_in_the_answer() -> None:
    fields = {
        "instructions": "Be kind.",
        "tools": [TOOL],
        "tool_choice": "required",
        "metadata": {"a": "b"},
        "temperature": 0.2,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "store": False,
        "max_output_tokens": 99,
        "parallel_tool_calls": False,
    }
    found = encode(answer(Text("a")), **fields)
    assert {name: found[name] for name in fields} == {
        **fields,
        "reasoning": {"effort": "low", "summary": None},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
    }
    assert found["model"] == "public-model"
    assert found["id"] == "resp_5eed"


@pytest.mark.parametrize(("said", "shown"), [("priority", "priority"), ("standard", "default"), ("odd", None), (None, None)])
def test_the_service_tier_is_shown_in_openais_words(said: str | None, shown: str | None) -> None:
    response = Response("u", "m", (Choice((Text("a"),), "stop"),), service_tier=said)
    assert encode(response)["service_tier"] == shown


def test_citations_become_annotations_once_their_text_is_known(strict_events: Events) -> None:
    cited = Text("Paris.", citations=(Citation("https://a", "A", "quote", origin="anthropic"),))
    found = strict_events(stream(unfold(answer(cited))))
    (added,) = [event for event in found if event["type"] == "response.output_text.annotation.added"]
    note = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 6}
    assert added["annotation"] == note
    assert found[-1]["response"]["output"][0]["content"][0]["annotations"] == [note]


def test_log_probabilities_reach_the_part_and_an_event(strict_events: Events) -> None:
    token = {"token": "é", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]}
    events: list[Event] = [Start(), TextDelta(0, "é"), LogprobsDelta({"content": [token]}), Finish("stop"), End()]
    found = strict_events(stream(events))
    shown = {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}],
    }
    assert [event["logprobs"] for event in found if event["type"] == "response.output_text.delta"] == [[], [shown]]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [shown]


def test_a_ping_is_a_comment() -> None:
    assert stream([Ping()]).startswith(b":")


def test_an_item_only_this_dialect_knows_passes_whole(events: Events) -> None:
    raw = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    block = Opaque("responses", "web_search_call", raw)
    found = events(stream([Start(), OpaqueBlock(0, block), BlockStop(0), Finish("stop"), End()]))
    assert [event["item"] for event in found if event["type"] == "response.output_item.done"] == [raw]
    assert found[-1]["response"]["output"] == [raw]


def test_a_block_of_another_dialect_is_an_error_not_a_loss(events: Events) -> None:
    block = Opaque("messages", "server_tool_use", {})
    with pytest.raises(GatewayError, match="server_tool_use"):
        client.encode(answer(block), asked(), CONTEXT)
    found = events(stream([Start(), OpaqueBlock(0, block), Finish("stop"), End()]))
    assert names(found) == ["created", "in_progress", "error", "failed"]


def test_case_18_an_end_without_a_finish_reason_is_a_failure(events: Events) -> None:
    assert names(events(stream([Start(), TextDelta(0, "a"), End()])))[-2:] == ["error", "failed"]
