"""Rankings of Cohere's API and of Bedrock: what is sent, what comes back, what it costs."""

import json
from typing import Any

import pytest
from tests.wire.embeddings.worlds import deployment
from tests.wire.rerank.worlds import BEDROCK_AMAZON, BEDROCK_COHERE, COHERE, DOCUMENTS, call, lane, sent

from pllm.core.errors import ErrorKind, GatewayError
from pllm.wire.lane import Answer, Lane

TEXTS = ["Carson City is in Nevada.", "Washington, D.C. is the capital.", "Capital punishment."]
QUERY = "Which is the capital?"
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 2, "relevance_score": 0.125}]


def answered(lane: Lane, answer: Any) -> tuple[Any, Answer]:
    found = lane.answer(json.dumps(answer).encode(), "application/json")
    return json.loads(found.body), found


def test_each_api_gets_its_own_words() -> None:
    common = {"query": QUERY, "documents": TEXTS, "top_n": 2}
    assert sent(lane(COHERE, top_n=2)) == {"model": "rerank-v3.5", **common}
    assert sent(lane(BEDROCK_COHERE, top_n=2)) == {**common, "api_version": 2}
    assert sent(lane(BEDROCK_AMAZON, top_n=2)) == common
    assert lane(COHERE).request.path == "rerank"
    assert lane(BEDROCK_COHERE).request.path == "model/cohere.rerank-v3-5%3A0/invoke"


def test_no_more_results_are_asked_for_than_there_are_documents() -> None:
    assert sent(lane(BEDROCK_AMAZON, top_n=50))["top_n"] == 3
    assert "top_n" not in sent(lane(BEDROCK_AMAZON))


def test_coheres_bill_is_what_is_charged() -> None:
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    shown, answer = answered(lane(COHERE), {"id": "r-1", "results": RESULTS, "meta": meta})
    assert shown == {"id": "r-1", "model": "m", "results": RESULTS, "meta": {"billed_units": {"search_units": 1}}}
    assert answer.usage is not None
    assert (answer.usage.search_units, answer.usage.input, answer.estimated) == (1, 0, False)


def test_models_that_bill_tokens_tell_them() -> None:
    shown, answer = answered(lane(COHERE), {"results": RESULTS, "meta": {"billed_units": {"input_tokens": 40}}})
    assert shown["usage"] == {"prompt_tokens": 40, "total_tokens": 40}
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.search_units) == (40, 0)


@pytest.mark.parametrize(
    ("documents", "units"),
    [(["x"] * 100, 1), (["x"] * 101, 2), (["x" * 3_000] * 100, 3), (["x" * 1_350] * 100, 1)],
    ids=["a hundred", "one more", "long ones are cut in pieces", "just short enough"],
)
def test_where_no_bill_comes_it_is_worked_out_from_the_request(documents: list[str], units: int) -> None:
    made = lane(BEDROCK_COHERE, documents=documents, query="q" * 60)
    shown, answer = answered(made, {"results": [{"index": 0, "relevance_score": 1}]})
    assert answer.usage is not None
    assert (answer.usage.search_units, answer.estimated) == (units, True)
    assert shown["meta"]["billed_units"]["search_units"] == units
    assert call(documents=documents, query="q" * 60).demand.search_units == units


def test_documents_come_back_as_they_were_given_where_that_is_wanted() -> None:
    shown, _ = answered(lane(BEDROCK_AMAZON, return_documents=True), {"results": RESULTS})
    assert [one["document"] for one in shown["results"]] == [DOCUMENTS[1], {"text": "Capital punishment."}]
    shown, _ = answered(lane(BEDROCK_AMAZON), {"results": RESULTS})
    assert "document" not in shown["results"][0]
    assert shown["id"].startswith("rerank-")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"query": ["x"]}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": ["x"] * 10_001}, "documents"),
        ({"documents": ["x", 3]}, "documents[1]"),
        ({"documents": [{"title": "x"}]}, "documents[0].text"),
        ({"top_n": 0}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"rank_fields": ["title"]}, "rank_fields"),
        ({"max_chunks_per_doc": 3}, "max_chunks_per_doc"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(BEDROCK_COHERE, **body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_what_may_be_dropped_is_dropped_and_listed() -> None:
    made = lane(BEDROCK_COHERE, {"drop_unsupported": True}, max_tokens_per_doc=9, user="u-1")
    assert made.dropped == ("max_tokens_per_doc", "user")
    assert sent(lane(COHERE, max_tokens_per_doc=9))["max_tokens_per_doc"] == 9


@pytest.mark.parametrize(
    "results",
    [
        None,
        "x",
        [1],
        [{"relevance_score": 1}],
        [{"index": 3, "relevance_score": 1}],
        [{"index": -1, "relevance_score": 1}],
        [{"index": True, "relevance_score": 1}],
        [{"index": 0}],
        [{"index": 0, "relevance_score": "high"}],
    ],
)
def test_a_result_that_is_none_is_the_providers_fault(results: Any) -> None:
    for of in (COHERE, BEDROCK_AMAZON):
        with pytest.raises(GatewayError) as caught:
            answered(lane(of), {"results": results})
        assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
def test_an_answer_that_is_none_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        lane(COHERE).answer(body, "text/html")
    assert caught.value.kind is ErrorKind.UPSTREAM_PROTOCOL


def test_errors_are_the_providers() -> None:
    throttled = lane(BEDROCK_COHERE).error(429, {"x-amzn-errortype": "ThrottlingException"}, b"{}")
    assert throttled.kind is ErrorKind.RATE_LIMITED
    gone = lane(COHERE).error(404, {}, b'{"id":"x","message":"model \'x\' not found, make sure the correct model ID was used"}')
    assert "not found" in gone.message
    assert gone.status == 404


def test_who_ranks_nothing_is_refused_with_the_reason() -> None:
    embeds = call().refusal(deployment(("bedrock", "amazon.titan-embed-text-v2:0")))
    assert embeds is not None
    assert "its mode is 'embedding'" in embeds.message
    unknown = call().refusal(deployment(("bedrock", "mine")))
    assert unknown is not None
    assert "base_model" in unknown.message
    google = call().refusal(deployment(("gemini", "gemini-2.5-pro")))
    assert google is not None
    assert google.code == "unsupported_endpoint"
    for of in (COHERE, BEDROCK_COHERE, BEDROCK_AMAZON, ("compatible", "bge-reranker-v2-m3")):
        assert call().refusal(deployment(of)) is None


def test_the_query_is_reserved_for_with_every_document() -> None:
    demand = call(query="q" * 100, documents=["x"] * 5).demand
    assert (demand.repeated_bytes, demand.inputs, demand.generates) == (400, 5, False)
    assert call(documents=None).demand.search_units == 1
