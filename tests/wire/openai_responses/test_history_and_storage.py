import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseItemList

from pllm.core.errors import GatewayError
from pllm.wire.lane import AnswerContext
from pllm.wire.neutral import Choice, Response, Text, ToolCall, ToolResult
from pllm.wire.openai_responses import StoredResponse, client, deletion, input_page, to_store, with_history

QUESTION = {"type": "message", "role": "user", "content": "Weather?"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
RESPONSE: dict[str, Any] = {"id": "resp_1", "object": "response", "status": "completed", "output": [CALL]}


def stored() -> StoredResponse:
    found = to_store({"model": "m", "input": "Weather?"}, RESPONSE, 1_800_000_000)
    assert found is not None
    return found


def test_a_stored_answer_holds_question_and_answer_as_items() -> None:
    assert stored().id == "resp_1"
    assert stored().items == (QUESTION, CALL)


def test_a_conversation_goes_on_from_a_stored_answer() -> None:
    body = {
        "model": "m",
        "previous_response_id": "resp_1",
        "input": [{"type": "function_call_output", "call_id": "c1", "output": "Rain."}],
    }
    resolved = with_history(body, stored().items)
    request = client.decode(resolved)
    assert [message.parts for message in request.messages] == [
        (Text("Weather?"),),
        (ToolCall("c1", "f", "{}"),),
        (ToolResult("c1", (Text("Rain."),)),),
    ]
    next_one = to_store(resolved, {"id": "resp_2", "status": "completed", "output": []}, 1)
    assert next_one is not None
    assert next_one.items == (QUESTION, CALL, *body["input"])


def test_the_answer_repeats_the_id_it_went_on_from() -> None:
    request = client.decode(with_history({"model": "m", "input": "Hi", "previous_response_id": "resp_1"}, [QUESTION]))
    answer = client.encode(Response("x", "m", (Choice((), "stop"),)), request, AnswerContext("m", 1, "a"))
    assert json.loads(answer)["previous_response_id"] == "resp_1"


def test_instructions_are_not_carried_over() -> None:
    found = to_store({"model": "m", "input": "Hi", "instructions": "Rhyme."}, RESPONSE, 1)
    assert found is not None
    assert client.decode(with_history({"model": "m", "input": "More", "previous_response_id": "r"}, found.items)).system == ()


def test_a_reference_to_what_the_history_holds_anyway_is_dropped() -> None:
    body = {"model": "m", "previous_response_id": "resp_1", "input": [{"type": "item_reference", "id": "fc_1"}, QUESTION]}
    assert with_history(body, stored().items)["input"] == [QUESTION, CALL, QUESTION]


def test_a_reference_alone_is_replaced_by_the_item_it_names() -> None:
    body = {"model": "m", "input": [QUESTION, {"id": "fc_1"}]}
    assert with_history(body, stored().items)["input"] == [QUESTION, CALL]


def test_a_reference_to_something_unknown_stays_and_is_refused() -> None:
    body = with_history({"model": "m", "input": [{"type": "item_reference", "id": "msg_9"}]}, stored().items)
    with pytest.raises(GatewayError, match="msg_9"):
        client.decode(body)


def test_resolving_leaves_body_and_items_alone() -> None:
    body = {"model": "m", "input": "Hi", "previous_response_id": "resp_1"}
    before = json.dumps([body, stored().items])
    with_history(body, stored().items)["input"][0]["role"] = "changed"
    assert json.dumps([body, stored().items]) == before


def test_input_that_is_no_input_is_a_400() -> None:
    for value in (3, ["Hi"]):
        with pytest.raises(GatewayError) as caught:
            with_history({"model": "m", "input": value}, [])
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "response"),
    [
        ({"store": False}, RESPONSE),
        ({}, None),
        ({}, {**RESPONSE, "status": "failed"}),
        ({}, {**RESPONSE, "status": "in_progress"}),
    ],
)
def test_what_must_not_or_cannot_be_continued_is_not_stored(body: dict[str, Any], response: dict[str, Any] | None) -> None:
    assert to_store({"input": "Hi", **body}, response, 1) is None


def test_an_incomplete_answer_is_stored_too() -> None:
    assert to_store({"input": "Hi"}, {**RESPONSE, "status": "incomplete"}, 1) is not None


_leaves = st.none() | st.booleans() | st.integers() | st.text()
_json = st.recursive(_leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.dictionaries(st.text(), _json)), st.dictionaries(st.text(), _json), st.integers(0, 2**40))
def test_a_stored_answer_survives_its_json(items: list[dict[str, Any]], extra: dict[str, Any], expires_s: int) -> None:
    value = StoredResponse({**extra, "id": "resp_1", "output": []}, tuple(items), expires_s)
    assert StoredResponse.from_json(value.to_json()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"v":2,"response":{"id":"r","output":[]},"input":[],"expires_s":1}',
        b'{"v":1,"response":{"output":[]},"input":[],"expires_s":1}',
        b'{"v":1,"response":{"id":"r","output":null},"input":[],"expires_s":1}',
        b'{"v":1,"response":{"id":"r","output":[]},"input":[],"expires_s":null}',
    ],
)
def test_what_is_no_stored_answer_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="stored response"):
        StoredResponse.from_json(data)


def test_a_deletion_is_answered_as_openai_does() -> None:
    assert json.loads(deletion("resp_1")) == {"id": "resp_1", "object": "response", "deleted": True}


def test_the_input_items_are_a_page_of_the_sdks() -> None:
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        CALL,
    ]
    found = to_store({"input": items}, RESPONSE, 1)
    assert found is not None
    page = json.loads(input_page(found))
    ResponseItemList.model_validate_json(json.dumps(page), strict=True)
    assert [item["id"] for item in page["data"]] == ["item_0", "fc_1"]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("item_0", "fc_1", False)
