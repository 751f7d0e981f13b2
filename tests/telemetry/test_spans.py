"""The spans of a request: their names are the conventions' own, and they tell what the record tells."""

from dataclasses import replace
from random import Random

import pytest
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    faas_attributes,
    gen_ai_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)

from pllm.core.deployment import Deployment
from pllm.core.record import RequestRecord
from pllm.core.request_trace import RequestTrace
from pllm.core.trace_context import TraceContext
from pllm.telemetry.otlp_json import CLIENT, SERVER, Span
from pllm.telemetry.spans import Finished, spans_of

EPOCH_S = 1_700_000_000.0
GEN_AI = gen_ai_attributes
CONVENTIONS = {
    value
    for module in (error_attributes, faas_attributes, gen_ai_attributes, http_attributes, server_attributes, url_attributes)
    for value in vars(module).values()
    if isinstance(value, str)
}
FIRST = Deployment(id="gpt/1", model_name="gpt", provider="azure", model="gpt-x")
SECOND = replace(FIRST, id="gpt/2", provider="bedrock", model="claude-x")


def record(**changes: object) -> RequestRecord:
    full = RequestRecord(
        "req-1",
        "messages",
        100.0,
        model="gpt",
        principal="key_1",
        team="research",
        stream=True,
        deployment="gpt/2",
        provider="bedrock",
        upstream_model="claude-x",
        attempts=2,
        failed=["gpt/1: upstream_error"],
        status=200,
        finish="stop",
        upstream_s=1.5,
        first_event_s=101.25,
        ended_s=102.0,
        prompt_tokens=11,
        completion_tokens=7,
        cached_tokens=3,
        reasoning_tokens=2,
        cost_micro_usd=1250,
        dropped=("seed",),
        cold_start=True,
        auth_s=0.002,
    )
    return replace(full, **changes)  # type: ignore[arg-type]


def finished(of: RequestRecord) -> Finished:
    trace = RequestTrace(
        TraceContext("a" * 32, "b" * 16, 1, "v=1"), Random(1).getrandbits, "c" * 16, "d" * 32, "e" * 16, recorded=True
    )
    trace.route = "/v1/messages"
    first = trace.attempt(FIRST, 100.1)
    first.url, first.status = "https://eu.azure.example/openai/chat/completions", 500
    first.end(100.5, "upstream_error")
    second = trace.attempt(SECOND, 100.6)
    second.url, second.status = "http://127.0.0.1:8080/model/claude-x/converse", 200
    second.end(101.9)
    second.note(of)
    second.first_event_s = 101.25
    return Finished(trace, of, "POST", "https", "/v1/messages", EPOCH_S)


def request_span(**changes: object) -> Span:
    return spans_of(finished(record(**changes)))[0]


def test_a_request_is_one_server_span_and_each_attempt_a_client_span_under_it() -> None:
    server, first, second = spans_of(finished(record()))
    assert [span.kind for span in (server, first, second)] == [SERVER, CLIENT, CLIENT]
    assert [span.name for span in (server, first, second)] == ["POST /v1/messages", "chat gpt-x", "chat claude-x"]
    assert {span.trace_id for span in (server, first, second)} == {"a" * 32}
    assert (server.parent_id, server.parent_is_remote, server.span_id) == ("c" * 16, True, "b" * 16)
    assert first.parent_id == second.parent_id == server.span_id
    assert len({server.span_id, first.span_id, second.span_id}) == 3
    assert {(span.flags, span.state) for span in (server, first, second)} == {(1, "v=1")}


def test_times_are_the_wall_clocks() -> None:
    server, first, second = spans_of(finished(record()))
    assert (server.start_ns, server.end_ns) == (1_700_000_100_000_000_000, 1_700_000_102_000_000_000)
    assert server.start_ns <= first.start_ns < first.end_ns < second.start_ns < second.end_ns <= server.end_ns


def test_every_name_that_is_not_ours_is_one_of_the_conventions() -> None:
    for span in spans_of(finished(record(error="stream_broken"))):
        foreign = {name for name in span.attributes if not name.startswith("pllm.")}
        assert foreign
        assert foreign <= CONVENTIONS


def test_the_request_tells_what_was_asked_and_what_was_used() -> None:
    told = request_span().attributes
    assert told[GEN_AI.GEN_AI_OPERATION_NAME] == "chat"
    assert told[GEN_AI.GEN_AI_PROVIDER_NAME] == "aws.bedrock"
    assert (told[GEN_AI.GEN_AI_REQUEST_MODEL], told[GEN_AI.GEN_AI_RESPONSE_MODEL]) == ("gpt", "claude-x")
    assert (told[GEN_AI.GEN_AI_USAGE_INPUT_TOKENS], told[GEN_AI.GEN_AI_USAGE_OUTPUT_TOKENS]) == (11, 7)
    assert told[GEN_AI.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] == 3
    assert told[GEN_AI.GEN_AI_RESPONSE_FINISH_REASONS] == ["stop"]
    assert told[GEN_AI.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] == 1.25
    assert told["http.route"] == told["url.path"] == "/v1/messages"
    assert told["http.response.status_code"] == 200
    assert (told["pllm.principal"], told["pllm.team"], told["pllm.attempts"]) == ("key_1", "research", 2)
    assert told["pllm.cost_usd"] == 0.00125
    assert told["pllm.auth_ms"] == 2.0
    assert told["pllm.dropped"] == ("seed",)
    assert told["faas.coldstart"] is True
    assert "error.type" not in told


def test_an_attempt_tells_where_it_went_and_how_it_ended() -> None:
    _, first, second = spans_of(finished(record()))
    assert first.failed
    assert (first.attributes["error.type"], first.attributes["http.response.status_code"]) == ("upstream_error", 500)
    assert (first.attributes["server.address"], first.attributes["server.port"]) == ("eu.azure.example", 443)
    assert first.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert not second.failed
    assert second.attributes["gen_ai.response.time_to_first_chunk"] == 0.65
    assert "gen_ai.response.time_to_first_chunk" not in first.attributes
    assert (second.attributes["server.address"], second.attributes["server.port"]) == ("127.0.0.1", 8080)
    assert (second.attributes["gen_ai.usage.output_tokens"], second.attributes["pllm.attempt"]) == (7, 2)


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"status": 500, "error": "internal_error"}, True),
        ({"status": 429, "error": "rate_limit_exceeded"}, False),
        ({"status": 200, "error": "stream_broken", "broken": True}, True),
        ({"status": 200}, False),
    ],
)
def test_a_request_failed_where_it_was_no_fault_of_its_caller(changes: dict[str, object], failed: bool) -> None:
    span = request_span(**changes)
    assert span.failed is failed
    assert span.attributes.get("error.type", "") == changes.get("error", "")


def test_the_platforms_own_trace_is_a_link() -> None:
    (link,) = request_span().links
    assert (link.trace_id, link.span_id, link.attributes) == ("d" * 32, "e" * 16, {"source": "x-ray-env"})


def test_a_request_without_a_model_has_nothing_to_tell_of_models() -> None:
    plain = Finished(
        RequestTrace(TraceContext("a" * 32, "b" * 16, 1), Random(1).getrandbits, route="/v1/models/"),
        RequestRecord("r", "model", 1.0, status=200, ended_s=1.5),
        "GET",
        "https",
        "/v1/models/m",
        EPOCH_S,
    )
    (span,) = spans_of(plain)
    assert span.name == "GET /v1/models/{id}"
    assert not [name for name in span.attributes if name.startswith("gen_ai.")]
    assert (span.parent_id, span.links, span.failed) == ("", (), False)


def test_a_path_that_nothing_is_at_does_not_become_a_name() -> None:
    trace = RequestTrace(TraceContext("a" * 32, "b" * 16, 1), Random(1).getrandbits)
    (span,) = spans_of(Finished(trace, RequestRecord("r", "unknown", 1.0, status=404), "GET", "https", "/wp-login", EPOCH_S))
    assert span.name == "GET"
    assert "http.route" not in span.attributes


def test_a_cost_of_nothing_is_said_and_an_unknown_one_is_not() -> None:
    assert request_span(cost_micro_usd=0).attributes["pllm.cost_usd"] == 0.0
    assert "pllm.cost_usd" not in request_span(cost_micro_usd=None).attributes


@pytest.mark.parametrize("url", ["", "http://host:99999/v1", "http://[::1/v1", "not an address"])
def test_an_address_that_is_none_costs_nothing_but_itself(url: str) -> None:
    of = finished(record())
    of.trace.attempts[0].url = url
    server, first, _ = spans_of(of)
    assert not {"server.address", "server.port"} & set(first.attributes)
    assert server.attributes["gen_ai.request.model"] == "gpt"
