import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from pllm.core.errors import ErrorKind, GatewayError, broken_stream
from pllm.wire.folding import fold, unfold
from pllm.wire.lane import AnswerContext
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
    Part,
    Ping,
    Refusal,
    Request,
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

Events = Callable[[bytes], list[dict[str, Any]]]

_SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

CONTEXT = AnswerContext(model="public-model", created_s=1_700_000_000, id_seed="5eed")

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


def asked(**fields: Any) -> Request:
    return client.decode({"model": "public-model", "input": "Hi", **fields})


def answer(*parts: Part, finish: FinishReason = "stop", usage: Usage | None = None) -> Response:
    return Response("up_1", "upstream-model", (Choice(parts, finish),), usage, 1_700_000_001)


def encode(response: Response, **fields: Any) -> dict[str, Any]:
    body = client.encode(response, asked(**fields), CONTEXT)
    SdkResponse.model_validate_json(body, strict=True)
    found: dict[str, Any] = json.loads(body)
    return found


def stream(events: list[Event], **fields: Any) -> bytes:
    return client.encoder(asked(**fields), CONTEXT).feed(events)


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


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


# --- Failures ------------------------------------------------------------------------------------------------------


CALLS = answer(Thinking("Hm.", "SIG", origin="anthropic"), Text("Hello"), ToolCall("c1", "f", '{"a":1}'), finish="tool_calls")


@pytest.mark.parametrize("position", range(1, len(unfold(CALLS))))
def test_case_18_a_stream_that_breaks_anywhere_ends_as_failed_and_nothing_after(position: int, strict_events: Events) -> None:
    encoder = client.encoder(asked(), CONTEXT)
    written = encoder.feed(unfold(CALLS)[:position])
    written += encoder.feed([Failure(broken_stream("it was cut")), *unfold(CALLS)[position:]])
    found = strict_events(written)
    assert names(found)[-2:] == ["error", "failed"]
    assert "completed" not in names(found)
    assert found[-1]["response"]["status"] == "failed"
    assert found[-1]["response"]["error"]["code"] == "server_error"
    assert encoder.response is None


def test_case_18_what_had_come_stands_in_the_failed_response_as_incomplete(events: Events) -> None:
    written = stream([Start(), TextDelta(0, "Hel"), Failure(broken_stream("it was cut"))])
    (message,) = events(written)[-1]["response"]["output"]
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", "Hel")


def test_case_17_the_official_sdk_raises_on_a_broken_stream(sdk: Callable[[bytes], OpenAI]) -> None:
    written = stream([Start(), TextDelta(0, "Hel"), Failure(broken_stream("it was cut"))])
    with (
        pytest.raises(APIError, match="it was cut"),
        sdk(written).responses.stream(model="m", input="Hi") as live,
    ):
        for _ in live:
            pass


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.RATE_LIMITED, "rate_limit_exceeded"),
        (ErrorKind.CONTENT_POLICY, "invalid_prompt"),
        (ErrorKind.UPSTREAM_TIMEOUT, "server_error"),
    ],
)
def test_case_17_the_failed_response_names_the_class_and_the_event_the_exact_code(
    kind: ErrorKind, code: str, strict_events: Events
) -> None:
    error = GatewayError(kind, "No.", code="exact", param="input")
    event, failed = strict_events(stream([Start(), Failure(error)]))[-2:]
    assert (event["code"], event["message"], event["param"]) == ("exact", "No.", "input")
    assert event["error"]["code"] == "exact"
    assert failed["response"]["error"] == {"code": code, "message": "No."}


def test_an_error_body_is_openais() -> None:
    body = json.loads(client.error(GatewayError(ErrorKind.RATE_LIMITED, "Slow down.")))
    assert body == {
        "error": {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    }


# --- Properties ----------------------------------------------------------------------------------------------------

_words = st.text(st.characters(codec="utf-8"), max_size=12)
_citations = st.builds(
    Citation,
    url=st.none() | st.just("https://a/b"),
    title=st.none() | _words,
    start=st.none() | st.integers(0, 9),
    end=st.none() | st.integers(0, 9),
    origin=st.just("anthropic"),
)
_texts = st.builds(Text, _words, citations=st.lists(_citations, max_size=2).map(tuple))
_thinking = st.one_of(
    st.builds(Thinking, _words, st.just("SIG"), origin=st.sampled_from(["anthropic", "gemini", "openai"])),
    st.builds(Thinking, st.just(""), redacted=st.just("XX"), origin=st.just("anthropic")),
    st.builds(Thinking, _words, id=st.sampled_from([None, "rs_theirs"])),
)
_calls = st.builds(ToolCall, st.uuids().map(str), st.just("f"), st.sampled_from(["{}", '{"a":1}', '{"t":"\\u00e9"}']))
_responses = st.builds(
    Response,
    st.just("up"),
    st.just("m"),
    st.tuples(
        st.builds(
            Choice,
            st.lists(st.one_of(_texts, st.builds(Refusal, _words), _thinking, _calls), max_size=5).map(tuple),
            st.sampled_from(["stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause"]),
        )
    ),
    st.none() | st.builds(Usage, st.integers(0, 99), st.integers(0, 9), st.integers(0, 9), output=st.integers(0, 99)),
)


@st.composite
def _streams(draw: st.DrawFn) -> list[Event]:
    """The stream of an answer, its texts cut anywhere, its blocks overlapping or not, with or without block ends."""
    with_stops = draw(st.booleans())
    events: list[Event] = []
    for event in unfold(draw(_responses)):
        match event:
            case TextDelta(index, text) if text:
                cut = draw(st.integers(0, len(text)))
                events += [TextDelta(index, text[:cut]), TextDelta(index, text[cut:])]
            case ToolCallDelta(index, fragment):
                cut = draw(st.integers(0, len(fragment)))
                events += [ToolCallDelta(index, fragment[:cut]), ToolCallDelta(index, fragment[cut:])]
            case ThinkingDelta() if event.text and draw(st.booleans()):
                events.append(ThinkingDelta(event.index, event.text, id=event.id))
                events.append(ThinkingDelta(event.index, "", event.signature, None, event.origin))
            case BlockStop() if not with_stops:
                pass
            case _:
                events.append(event)
    return _overlap(draw, events) if not with_stops and draw(st.booleans()) else events


def _overlap(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """Deltas moved later, past other blocks' beginnings; the order within a block stays."""
    blocks: dict[int, list[Event]] = {}
    rest: list[Event] = []
    for event in events:
        (blocks.setdefault(event.index, []) if hasattr(event, "index") else rest).append(event)
    mixed: list[Event] = []
    waiting: list[list[Event]] = []
    for block in blocks.values():
        mixed.append(block[0])
        waiting.append(block[1:])
        for queue in waiting:
            count = draw(st.integers(0, len(queue)))
            mixed += queue[:count]
            del queue[:count]
    return [rest[0], *mixed, *(event for queue in waiting for event in queue), *rest[1:]]


@settings(deadline=None, max_examples=150)
@given(_streams())
def test_the_last_event_of_any_stream_holds_the_buffered_answer(events: list[Event]) -> None:
    encoder = client.encoder(asked(tools=[TOOL]), CONTEXT)
    written = encoder.feed(events)
    last = json.loads(written.rstrip().rsplit(b"\ndata: ", 1)[1])
    buffered = json.loads(client.encode(fold(events), asked(tools=[TOOL]), CONTEXT))
    assert last["response"] == buffered
    assert encoder.response == buffered


@settings(deadline=None, max_examples=40)
@given(_streams())
def test_the_official_sdk_accumulates_any_stream_to_the_buffered_answer(events: list[Event]) -> None:
    written = client.encoder(asked(), CONTEXT).feed(events)
    for block in written.split(b"\n\n")[:-1]:
        _SDK_EVENT.validate_json(block.split(b"\ndata: ", 1)[1], strict=True)
    with _sdk(written).responses.stream(model="m", input="Hi") as live:
        seen = list(live)
    last = seen[-1]
    assert last.type in ("response.completed", "response.incomplete")
    buffered = json.loads(client.encode(fold(events), asked(), CONTEXT))
    assert _without_parsed(last.response.to_dict()) == _without_parsed(SdkResponse.model_validate(buffered).to_dict())
    _check_deltas(seen, buffered["output"])


@settings(deadline=None, max_examples=40)
@given(_responses)
def test_every_buffered_answer_is_a_response_of_the_sdk_strictly(response: Response) -> None:
    SdkResponse.model_validate_json(client.encode(response, asked(), CONTEXT), strict=True)


class _Replay(httpx2.BaseTransport):
    """A server whose next answer is set from outside, so that one SDK client serves every example."""

    stream = b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)


_REPLAY = _Replay()
_SDK = OpenAI(api_key="unused", base_url="http://gateway/v1", http_client=httpx2.Client(transport=_REPLAY))


def _sdk(stream: bytes) -> OpenAI:
    _REPLAY.stream = stream
    return _SDK


def _without_parsed(value: Any) -> Any:
    """Less what the SDK adds of its own."""
    if isinstance(value, dict):
        return {key: _without_parsed(item) for key, item in value.items() if key not in ("parsed", "parsed_arguments")}
    return [_without_parsed(item) for item in value] if isinstance(value, list) else value


def _check_deltas(seen: list[Any], output: list[dict[str, Any]]) -> None:
    """The deltas, joined by part and by call, are what the final object says."""
    said: dict[tuple[int, int], str] = {}
    for event in seen:
        if event.type.endswith((".delta",)):
            place = (event.output_index, getattr(event, "content_index", 0))
            said[place] = said.get(place, "") + event.delta
    for number, item in enumerate(output):
        match item["type"]:
            case "function_call":
                assert said[number, 0] == item["arguments"]
            case "message":
                for position, part in enumerate(item["content"]):
                    assert said.get((number, position), "") == part.get("text", part.get("refusal"))
            case "reasoning":
                assert said.get((number, 0), "") == "".join(part["text"] for part in item["summary"])
