"""Recorded rankings: what was sent then is what we send, and every result comes back.

Read from the environment variable PLLM_CASSETTES or from ../shared/cassettes beside the checkout; never copied.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.wire.rerank.worlds import lane, sent

FOLDER = Path(os.environ.get("PLLM_CASSETTES", str(Path(__file__).resolve().parents[4] / "shared" / "cassettes")))

pytestmark = [
    pytest.mark.needs_cassettes,
    pytest.mark.skipif(
        not FOLDER.is_dir() and not os.environ.get("CI"), reason=f"NO RECORDINGS at {FOLDER}: set PLLM_CASSETTES"
    ),
]


def recording(provider: str, name: str) -> Any:
    (path,) = (FOLDER / provider).glob(f"*{name}*.json")
    return json.loads(path.read_text("utf-8"))["interactions"][0]


@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [("bedrock", "cohere-rerank-invoke", "cohere.rerank-v3-5:0"), ("cohere", "v2-rerank-legacy", "rerank-english-v3.0")],
)
def test_a_ranking(provider: str, name: str, model: str) -> None:
    one = recording(provider, name)
    asked = one["request"]["json"]
    made = lane((provider, model), query=asked["query"], documents=asked["documents"], top_n=asked["top_n"])
    assert sent(made) == asked
    assert one["request"]["uri"].endswith(made.request.path)
    found = made.answer(json.dumps(one["response"]["json"]).encode(), "application/json")
    assert json.loads(found.body)["results"] == one["response"]["json"]["results"]
    assert found.usage is not None
    assert (found.usage.search_units, found.estimated) == (1, provider == "bedrock")


def test_the_answer_without_its_request() -> None:
    response = recording("cohere", "cohere-reranking.1")["response"]["json"]
    made = lane(("cohere", "rerank-v3.5"), documents=["sunny day at the beach", "rainy day in the city"])
    shown = json.loads(made.answer(json.dumps(response).encode(), "application/json").body)
    assert (shown["id"], shown["results"]) == (response["id"], response["results"])
    assert shown["meta"]["billed_units"] == response["meta"]["billed_units"]
