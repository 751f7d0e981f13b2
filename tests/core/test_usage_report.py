"""What may be asked of usage, and how it is told."""

import csv
import io
from datetime import UTC, datetime

import pytest

from pllm.core.errors import GatewayError
from pllm.core.sketch import sketch_of
from pllm.core.usage_report import (
    Line,
    Page,
    UsageQuery,
    page_csv,
    page_object,
    parse_query,
    wants_csv,
)
from pllm.core.usage_rows import Amounts

NOW = datetime(2026, 11, 22, 14, 30, 20, tzinfo=UTC).timestamp()


def asked(**given: str) -> UsageQuery:
    return parse_query({name.removesuffix("_"): [value] for name, value in given.items()}, NOW)


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


def test_the_last_day_by_the_hour_is_what_is_told_without_a_wish() -> None:
    assert parse_query({}, NOW) == UsageQuery("hour", at(2026, 11, 21, 15), at(2026, 11, 22, 15))


@pytest.mark.parametrize(("period", "since"), [("minute", at(2026, 11, 22, 13, 31)), ("day", at(2026, 10, 24))])
def test_each_period_has_a_usual_range(period: str, since: int) -> None:
    assert asked(period=period).from_s == since


def test_times_are_dates_or_times_or_epoch_seconds_and_rounded_outwards() -> None:
    query = asked(from_="2026-11-20T10:59:59+01:00", to="2026-11-21")
    assert (query.from_s, query.to_s) == (at(2026, 11, 20, 9), at(2026, 11, 21))
    assert asked(from_="2026-11-20T10:30:00 01:00").from_s == at(2026, 11, 20, 9)
    assert asked(from_=str(at(2026, 11, 20, 9)), to="2026-11-20T09:00:01Z").to_s == at(2026, 11, 20, 10)


def test_groups_are_separated_by_commas_or_repeated() -> None:
    assert parse_query({"group_by": ["model,team", "key"]}, NOW).group_by == ("model", "team", "key")


def test_filters_are_kept() -> None:
    assert asked(model="m", team="red").only == {"team": "red", "model": "m"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"period": ["week"]}, "period"),
        ({"group_by": ["colour"]}, "group_by"),
        ({"group_by": ["key,key"]}, "group_by"),
        ({"grup_by": ["key"]}, "grup_by"),
        ({"from": ["yesterday"]}, "from"),
        ({"to": ["2026-11-22T99:00"]}, "to"),
        ({"from": ["2026-11-22", "2026-11-21"]}, "from"),
        ({"from": ["2026-11-23"], "to": ["2026-11-22"]}, "from"),
        ({"period": ["minute"], "from": ["2026-11-20"]}, "from"),
        ({"period": ["hour"], "from": ["2026-08-01"]}, "from"),
        ({"period": ["day"], "from": ["1970-01-02"]}, "from"),
        ({"from": ["99999999999"]}, "from"),
        ({"limit": ["0"]}, "limit"),
        ({"limit": ["10001"]}, "limit"),
        ({"limit": ["٣"]}, "limit"),
        ({"page": ["?"]}, "page"),
        ({"page": ["W10"]}, "page"),
        ({"page": ["bm90IGpzb24"]}, "page"),
    ],
)
def test_what_cannot_be_answered_is_named(given: dict[str, list[str]], param: str) -> None:
    with pytest.raises(GatewayError) as refusal:
        parse_query(given, NOW)
    assert (refusal.value.status, refusal.value.param) == (400, param)


def test_a_refusal_of_old_minutes_says_where_they_went() -> None:
    with pytest.raises(GatewayError, match=r"48 hours.*period=hour"):
        asked(period="minute", from_="2026-11-20")


@pytest.mark.parametrize(("period", "days"), [("minute", 4), ("hour", 180), ("day", 1098)])
def test_a_series_is_bounded_in_the_future_too(period: str, days: int) -> None:
    """Each period of a series is an entry of its answer, whether there is anything of it or not."""
    since = at(2027, 1, 1)
    assert asked(period=period, from_=str(since), to=str(since + days * 86_400)).from_s == since
    with pytest.raises(GatewayError) as caught:
        asked(period=period, from_=str(since), to=str(since + days * 86_400 + 1))
    assert (caught.value.status, caught.value.param) == (400, "from")
    assert f"{days} days" in caught.value.message


@pytest.mark.parametrize(
    ("form", "accept", "as_csv"),
    [
        ("", "text/csv", True),
        ("", "text/csv;q=0.9, */*", True),
        ("", "application/json, text/csv", False),
        ("", "*/*", False),
        ("csv", "application/json", True),
        ("json", "text/csv", False),
    ],
)
def test_the_format_is_what_is_asked_for_else_what_is_accepted(form: str, accept: str, as_csv: bool) -> None:
    assert wants_csv({"format": [form]} if form else {}, accept) is as_csv


def test_another_format_is_refused() -> None:
    with pytest.raises(GatewayError, match="json or csv"):
        wants_csv({"format": ["xml"]}, "")


QUERY = asked(group_by="model,key")
AMOUNTS = Amounts(
    requests=4,
    errors=1,
    prompt_tokens=10,
    cost_micro_usd=1_234_567,
    latency_ms=1000,
    cache_write_5m_tokens=2,
    latencies=sketch_of(200, 210, 220),
)
LINE = Line(at(2026, 11, 22, 14), ("gpt-4o", "key1"), AMOUNTS)


def test_a_page_says_what_it_is_of_and_how_to_go_on() -> None:
    page = page_object(Page(QUERY, [LINE], more=True))
    assert (page["object"], page["period"], page["from"], page["to"]) == (
        "list",
        "hour",
        "2026-11-21T15:00:00Z",
        "2026-11-22T15:00:00Z",
    )
    [line] = page["data"]
    assert (line["start"], line["model"], line["key"]) == ("2026-11-22T14:00:00Z", "gpt-4o", "key1")
    assert (line["requests"], line["errors"], line["cost_usd"], line["average_latency_ms"]) == (4, 1, 1.234567, 250.0)
    assert line["cache_write_tokens"] == 2
    following = asked(group_by="model,key", page=page["next_page"])
    assert following.after == (LINE.start_s, ("gpt-4o", "key1"))
    assert page_object(Page(QUERY, [LINE], more=False))["next_page"] is None


def test_csv_has_the_same_columns_as_json() -> None:
    text = page_csv(Page(QUERY, [LINE], more=False))
    [read] = csv.DictReader(io.StringIO(text))
    [told] = page_object(Page(QUERY, [LINE], more=False))["data"]
    assert read == {name: "" if value is None else str(value) for name, value in told.items()}


def test_csv_of_nothing_is_its_header() -> None:
    assert page_csv(Page(QUERY, [], more=False)).startswith("start,model,key,requests,")


def test_a_name_is_never_a_formula_of_a_spreadsheet() -> None:
    line = Line(LINE.start_s, ('=HYPERLINK("x")', "-k"), AMOUNTS)
    [read] = csv.DictReader(io.StringIO(page_csv(Page(QUERY, [line], more=False))))
    assert (read["model"], read["key"]) == ('\'=HYPERLINK("x")', "'-k")
