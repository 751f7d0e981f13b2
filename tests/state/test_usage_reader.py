"""Reading usage: every request once, whether its hour and day are made yet or not."""

from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest
from tests.state.test_usage_rollup import Setting, at
from tests.support.faulty import FaultyStore

from pllm.core.usage_keys import PERIODS, SHARDS, Period
from pllm.core.usage_report import parse_query
from pllm.core.usage_rows import Account
from pllm.state.usage_reader import UsageReader

NOW = at(2026, 11, 22, 14, 30)


async def asked(here: Setting, **given: str) -> list[tuple[str, int]]:
    """Every line of every page: (start and group, requests)."""
    reader = UsageReader(here.memory, here.clock)
    found: list[tuple[str, int]] = []
    while True:
        query = parse_query({name.removesuffix("_"): [value] for name, value in given.items()}, here.clock.wall_s())
        page = await reader.report(query)
        for line in page.lines:
            time = datetime.fromtimestamp(line.start_s, UTC).strftime("%m-%d %H:%M")
            found.append((" ".join((time, *line.group)), line.amounts.requests))
        if page.next is None:
            return found
        given["page"] = page.next


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("limit", ["1", "3", "1000"])
async def test_pages_hold_every_request_once_and_in_order(period: Period, limit: str) -> None:
    here, random = Setting(NOW), Random(3)
    expected: Counter[str] = Counter()
    for _ in range(60):
        time_s = NOW - random.randrange(46 * 3600)
        key = random.choice("ab")
        await here.spend(time_s, Account(key, "m"), shard=random.randrange(8))
        form = {"minute": "%m-%d %H:%M", "hour": "%m-%d %H:00", "day": "%m-%d 00:00"}[period]
        expected[f"{datetime.fromtimestamp(time_s, UTC).strftime(form)} {key}"] += 1
    for rolled in (False, True):
        if rolled:
            await here.rollup.run()
            here.memory.items = {
                key: item for key, item in here.memory.items.items() if period == "minute" or not _is_rolled(key)
            }
        found = await asked(here, period=period, from_="2026-11-20T16:30:00Z", group_by="key", limit=limit)
        assert found == sorted(expected.items())


def _is_rolled(key: tuple[str, str]) -> bool:
    """Minutes that hours are made of: what is left must do."""
    return key[0].startswith("U#m#") and f"{key[0][4:12]}{key[1][:2]}" < "2026112214"


@pytest.mark.parametrize("period", ["hour", "day"])
async def test_before_the_first_roll_up_a_month_is_a_few_questions(period: str) -> None:
    here = Setting(NOW)
    await here.spend(NOW - 600, Account("a", "m"))
    store = FaultyStore(here.memory)
    wanted = {"period": [period], "from": ["2026-10-24T00:00:00Z"]}
    page = await UsageReader(store, here.clock).report(parse_query(wanted, here.clock.wall_s()))
    assert [line.amounts.requests for line in page.lines] == [1]
    assert store.calls <= 1 + 3 * SHARDS


async def test_what_is_not_asked_for_is_not_counted() -> None:
    here = Setting(NOW)
    await here.spend(NOW - 60, Account("a", "m1"))
    await here.spend(NOW - 60, Account("a", "m2"))
    await here.spend(NOW - 3600, Account("b", "m1"))
    assert await asked(here, model="m1", group_by="key") == [("11-22 13:00 b", 1), ("11-22 14:00 a", 1)]
    assert await asked(here, to="2026-11-22T14:00:00Z") == [("11-22 13:00", 1)]
    assert await asked(here, key="nobody") == []
