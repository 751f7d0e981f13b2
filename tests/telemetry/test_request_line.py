"""The log line of a request: everything that is known, nothing that was said."""

from dataclasses import replace

from pllm.core.pricing import Counts, cost_micro_usd
from pllm.core.profile import Prices
from pllm.core.record import RequestRecord
from pllm.core.usage_rows import Amounts
from pllm.telemetry.request_line import log_line

PRICES = Prices(
    input=3_000_000, output=15_000_000, cache_read=300_000, cache_write_5m=3_750_000, cache_write_1h=6_000_000,
    audio_input=9_000_000, audio_output=30_000_000, image_input=5_000_000, version="2026-11-01",
    long_context_over=1_000, long_input=6_000_000, long_output=22_500_000,
)  # fmt: skip
USED = Counts(
    input=60, cache_read=30, cache_write_5m=8, cache_write_1h=2, output=50,
    reasoning=20, audio_input=5, audio_output=7, image_input=9,
)  # fmt: skip


def record() -> RequestRecord:
    return RequestRecord(
        "r-1", "chat", 10.0, model="m", principal="key/1", team="red", stream=True, deployment="m@p/x", provider="p",
        upstream_model="x-2026", prices=PRICES, attempts=1, status=200, finish="stop", upstream_s=1.5, first_event_s=10.5,
        ended_s=12.0, prompt_tokens=100, completion_tokens=50, cached_tokens=30, reasoning_tokens=20, used=USED,
        cost_micro_usd=cost_micro_usd(USED, PRICES),
    )  # fmt: skip


def test_the_cost_can_be_worked_out_again_from_the_line_and_the_prices_it_names() -> None:
    line = log_line(record(), 7)
    assert line["prices"] == PRICES.version
    counted = {name: line[name] for name in Amounts.__dataclass_fields__ if name in line}
    assert cost_micro_usd(Amounts(**counted).counts(), PRICES) == line["cost_micro_usd"]


def test_a_long_context_is_named_with_its_tariff() -> None:
    long = replace(record(), used=Counts(input=1_001, output=1))
    assert log_line(long, 7)["prices"] == "2026-11-01~long"


def test_it_says_who_asked_and_which_model_answered() -> None:
    line = log_line(record(), 7)
    assert {name: line[name] for name in ("principal", "team", "model", "upstream_model", "timestamp")} == {
        "principal": "key/1",
        "team": "red",
        "model": "m",
        "upstream_model": "x-2026",
        "timestamp": 7,
    }


def test_what_there_is_none_of_is_left_out() -> None:
    refused = RequestRecord("r", "chat", 0.0, status=401, error="authentication")
    optional = {"team", "prices", "cost_micro_usd", "cached_tokens", "reasoning_tokens", "ttft_ms", "cold_start", "broken"}
    assert not optional & set(log_line(refused, 7))
