"""When a period begins and ends, in UTC and where clocks change."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.limits import (
    BudgetLimit,
    Epochs,
    GateLimits,
    Period,
    deployment_scope,
    epochs,
    key_scope,
    model_scope,
    period_end_s,
    period_start_s,
    team_scope,
)

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago", "Asia/Beirut"]


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]  # year, month, day, ...


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", utc(2026, 11, 22), utc(2026, 11, 23)),
        ("week", utc(2026, 11, 16), utc(2026, 11, 23)),
        ("month", utc(2026, 11, 1), utc(2026, 12, 1)),
        ("total", 0, None),
    ],
)
def test_periods_in_utc(period: Period, start: int, end: int | None) -> None:
    now_s = utc(2026, 11, 22, 17, 40) + 0.5
    budget = BudgetLimit(1, period)
    assert (period_start_s(budget, now_s), period_end_s(budget, now_s)) == (start, end)


def test_a_day_begins_at_midnight_of_its_zone() -> None:
    budget = BudgetLimit(1, "day", "America/New_York")
    assert period_start_s(budget, utc(2026, 11, 22, 3)) == utc(2026, 11, 21, 5)
    assert period_start_s(budget, utc(2026, 11, 22, 6)) == utc(2026, 11, 22, 5)


def test_a_day_on_which_clocks_change_is_an_hour_longer_or_shorter() -> None:
    budget = BudgetLimit(1, "day", "Europe/Berlin")
    for now_s, hours in ((utc(2026, 3, 29, 12), 23), (utc(2026, 10, 25, 12), 25)):
        assert (period_end_s(budget, now_s) or 0) - period_start_s(budget, now_s) == hours * 3600


def test_where_midnight_does_not_exist_the_day_begins_when_clocks_jump() -> None:
    budget = BudgetLimit(1, "day", "Asia/Beirut")
    jump = utc(2026, 3, 28, 22)  # 00:00 becomes 01:00
    assert period_start_s(budget, jump + 3600) == jump
    assert period_end_s(budget, jump - 3600) == jump


@given(st.integers(utc(2020, 1, 1), utc(2035, 1, 1)), st.sampled_from(["day", "week", "month"]), st.sampled_from(ZONES))
@settings(deadline=None)
def test_every_moment_lies_in_its_period_and_periods_follow_each_other(now_s: int, period: Period, zone: str) -> None:
    budget = BudgetLimit(1, period, zone)
    start_s, end_s = period_start_s(budget, now_s), period_end_s(budget, now_s)
    assert end_s is not None
    assert start_s <= now_s < end_s or datetime.fromtimestamp(now_s, ZoneInfo(zone)).fold
    assert period_start_s(budget, end_s) == end_s


def test_labels_of_a_moment() -> None:
    now_s = utc(2026, 11, 22, 17, 40) + 59.9
    found = epochs(GateLimits("key/a", budget=BudgetLimit(1, "day")), now_s)
    assert found == Epochs(utc(2026, 11, 22, 17, 40) // 60, int(now_s) // 960, utc(2026, 11, 22) // 60)
    assert epochs(GateLimits("key/a"), now_s).period == 0


def test_scopes_are_spelt_as_the_table_spells_them() -> None:
    assert (key_scope("a"), team_scope("t"), model_scope("m"), deployment_scope("d")) == ("key/a", "team/t", "model/m", "dep/d")


def test_what_is_not_limited_says_so() -> None:
    assert not GateLimits("key/a").limited
    for limits in (GateLimits("k", rpm=0), GateLimits("k", tpm=1), GateLimits("k", max_parallel=1)):
        assert limits.limited
    assert GateLimits("k", budget=BudgetLimit(0)).limited


def test_zones_are_known_on_a_machine_without_zone_files() -> None:
    code = "from pllm.core import limits; print(limits.period_start_s(limits.BudgetLimit(1, 'day', 'Asia/Tokyo'), 0))"
    environment = {**os.environ, "PYTHONTZPATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
    assert int(done.stdout) == -9 * 3600
