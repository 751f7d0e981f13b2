"""A reservation is an upper bound: of every body, of every price."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.limit_estimate import FALLBACK_MAX_TOKENS, Demand, InputSize, measure, most_micro_usd, most_tokens, reserve
from pllm.core.profile import Prices

PICTURE = base64.b64encode(bytes(300_000)).decode()


def chat(*content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": part} for part in content], **more}


@given(st.lists(st.text(), max_size=5), st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=3))
@settings(deadline=None)
def test_text_counts_at_least_its_bytes(texts: list[str], extra: dict[str, Any]) -> None:
    size = measure(chat(*texts, metadata=extra))
    assert size.text_bytes >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert size.messages == len(texts)


def test_text_counts_no_more_than_the_body_has() -> None:
    body = chat("Hello, wie geht's? " * 100)
    assert 1900 <= measure(body).tokens() <= len(json.dumps(body)) + 8


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
    ],
    ids=["chat", "responses", "messages"],
)
def test_a_picture_counts_as_a_picture_and_not_as_its_base64(part: dict[str, Any]) -> None:
    size = measure(chat([part, part]))
    assert size.images == 2
    assert size.text_bytes < 400
    assert size.tokens() < 13_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PICTURE}"}},
        {"type": "input_file", "file_data": PICTURE},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PICTURE}},
    ],
    ids=["chat", "responses", "messages"],
)
def test_a_file_counts_as_a_file(part: dict[str, Any]) -> None:
    size = measure(chat([part]))
    assert size.files == 1
    assert size.text_bytes < 400


def test_a_document_of_plain_text_counts_its_text() -> None:
    part = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 5000}}
    assert measure(chat([part])).text_bytes >= 5000


def test_sound_counts_by_its_length() -> None:
    size = measure(chat([{"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}]))
    assert size.audio_bytes == 300_000
    assert size.tokens() > 2400


def test_text_that_looks_like_an_attachment_counts_as_text() -> None:
    assert measure(chat("data:image/png;base64," + "x" * 9000)).text_bytes > 9000


def test_tools_count_their_schemas_and_what_the_provider_adds() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 500, "parameters": {"type": "object"}}}
    plain, tooled = measure(chat("hi")), measure(chat("hi", tools=[tool]))
    assert tooled.tokens() - plain.tokens() > 500 + 700


def test_a_prompt_of_one_string_is_a_message() -> None:
    assert measure({"model": "m", "input": "hello"}).messages == 1
    assert measure({"model": "m", "input": "hello"}).text_bytes >= 5


@pytest.mark.parametrize(
    ("wish", "answer"),
    [
        ({"max_tokens": 50}, 50),
        ({}, FALLBACK_MAX_TOKENS),
        ({"default_max_tokens": 700}, 700),
        ({"max_output_tokens": 900}, 900),
        ({"max_tokens": 5000, "max_output_tokens": 900}, 900),
        ({"max_tokens": 50, "choices": 3}, 150),
        ({"max_tokens": 0}, 0),
    ],
)
def test_the_answer_is_reserved_as_long_as_it_may_become(wish: dict[str, Any], answer: int) -> None:
    size = InputSize(text_bytes=100)
    assert reserve(most_tokens(size, **wish)).tokens == 100 + answer


def test_a_prompt_cannot_be_longer_than_the_model_reads() -> None:
    assert reserve(most_tokens(InputSize(text_bytes=10**7), max_tokens=1, max_input_tokens=128_000)).tokens == 128_001


def test_many_inputs_may_each_be_as_long_as_the_model_reads() -> None:
    size, demand = InputSize(text_bytes=10**7), Demand(inputs=3, generates=False)
    assert reserve(most_tokens(size, max_input_tokens=512, demand=demand)).tokens == 3 * 512
    assert reserve(most_tokens(InputSize(text_bytes=100), demand=Demand(generates=False, repeated_bytes=50))).tokens == 150


@pytest.mark.parametrize(
    ("demand", "prices", "micro_usd"),
    [
        (Demand(images=3), Prices(per_image_micro_usd=40_000), 120_000),
        (Demand(characters=11), Prices(per_million_characters=15_000_000), 165),
        (Demand(search_units=2, generates=False), Prices(per_search_unit_micro_usd=2_000), 4_000),
        (Demand(images=3), Prices(input=1, output=1, per_image_micro_usd=40_000), 120_000),
    ],
)
def test_what_is_billed_by_the_piece_is_reserved_by_the_piece(demand: Demand, prices: Prices, micro_usd: int) -> None:
    found = reserve(most_tokens(InputSize(text_bytes=100), demand=demand), prices)
    assert (found.micro_usd, found.unpriced) == (micro_usd, False)


def test_a_piece_without_a_price_is_unpriced() -> None:
    assert reserve(most_tokens(InputSize(), demand=Demand(search_units=1)), Prices(per_image_micro_usd=1)).unpriced
    assert reserve(most_tokens(InputSize())).unpriced


PRICE = st.none() | st.integers(0, 10**8)


@given(
    st.builds(
        Prices,
        input=st.integers(0, 10**8),
        output=st.integers(0, 10**8),
        cache_write_5m=PRICE,
        cache_write_1h=PRICE,
        cache_read=PRICE,
        reasoning=PRICE,
        long_context_over=st.none() | st.integers(0, 10**5),
        long_input=PRICE,
        long_output=PRICE,
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
)
@settings(deadline=None)
def test_no_bill_for_these_tokens_is_higher(prices: Prices, prompt: int, output: int) -> None:
    most = most_micro_usd(prices, prompt, output)
    assert most is not None
    long = prices.long_context_over is not None and prompt > prices.long_context_over
    for one in (prices.input, prices.cache_write_1h, prices.long_input if long else None):
        for other in (prices.output, prices.reasoning, prices.long_output if long else None):
            assert most * 10**6 >= prompt * (one or 0) + output * (other or 0)


def test_fractions_of_a_micro_dollar_are_rounded_up() -> None:
    assert most_micro_usd(Prices(input=1, output=0), 1, 0) == 1


def test_an_unknown_price_is_not_free() -> None:
    assert most_micro_usd(Prices(), 10, 10) is None
    assert most_micro_usd(Prices(input=5), 10, 0) == 1
    found = reserve(most_tokens(InputSize(text_bytes=10), max_tokens=1), Prices(input=5))
    assert (found.micro_usd, found.unpriced) == (0, True)
