"""Counting tokens before the call, in each of its four small forms."""

import json

import pytest
from anthropic.types import MessageTokensCount
from tests.wire.anthropic_messages.judge import ask, check_count_request, target, vertex

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.anthropic_messages import (
    count_tokens_request,
    decode_count_request,
    decode_token_count,
    encode_count_tokens,
    encode_token_count,
)
from pllm.wire.neutral import Reasoning, Text, Tool

BODY = {"model": "claude", "messages": [{"role": "user", "content": "hi"}], "system": "s", "novel": 1}


def test_a_neutral_request_becomes_a_question_with_the_fields_that_count() -> None:
    request = ask(system=(Text("s"),), tools=(Tool("f"),), top_p=1.0, stream=True, reasoning=Reasoning(effort="low"))
    wire = encode_count_tokens(request, target())
    assert (wire.path, wire.model, wire.stream) == ("messages/count_tokens", "claude-upstream", False)
    body = json.loads(wire.body)
    check_count_request(body)
    assert set(body) == {"model", "messages", "system", "tools", "thinking", "output_config"}


def test_a_clients_question_needs_no_max_tokens_and_keeps_what_counts() -> None:
    assert decode_count_request(BODY).max_tokens is None
    wire = count_tokens_request(BODY, target())
    assert json.loads(wire.body) == {"model": "claude-upstream", "messages": BODY["messages"], "system": "s"}
    assert json.loads(count_tokens_request(BODY, vertex()).body)["anthropic_version"] == "vertex-2023-10-16"


def test_the_count_is_read_and_written() -> None:
    assert decode_token_count(b'{"input_tokens": 17, "more": 1}') == 17
    assert MessageTokensCount.model_validate_json(encode_token_count(17), strict=True).input_tokens == 17


@pytest.mark.parametrize("body", [b"", b"[]", b'{"input_tokens": "3"}', b'{"input_tokens": true}', b'{"input_tokens": -1}'])
def test_an_answer_without_a_count_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_token_count(body)
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL
