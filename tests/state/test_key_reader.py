"""The data plane's memory of keys: how old it may get, what an outage changes, and what a flood cannot do."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.key_service import key_service

from pllm.core.clock import ManualClock
from pllm.core.keys import KeyFields, KeyRecord, TeamFields, digest_of
from pllm.state.key_items import key_writes
from pllm.state.key_reader import FRESH_S, JITTER, STALE_S, KeyReader, Recent
from pllm.state.memory import MemoryStore, applied
from pllm.state.store import Item, StateError, Update

LONGEST_S = FRESH_S * (1 + JITTER)


class TwoClocks:
    """The wall clock may be set; the monotonic one stands still while the environment is frozen."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.monotonic = 50.0

    def wall_s(self) -> float:
        return self.wall

    def monotonic_s(self) -> float:
        return self.monotonic

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class Table(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.reads = 0
        self.certain: list[bool] = []

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        self.reads += 1
        self.certain.append(consistent)
        if self.down:
            raise StateError("timeout", sent=False)
        return await super().get(pk, sk, consistent=consistent)


async def test_a_record_is_read_once_for_48_to_72_seconds() -> None:
    spans = []
    for seed in range(50):
        table, clock = Table(), ManualClock()
        made = await key_service(table, clock).keys.create(KeyFields("ci"), "master")
        reader = KeyReader(table, clock, Random(seed))
        await reader.find(made.record.sha256)
        table.reads = 0
        span = 0
        while not table.reads:
            clock.advance(1)
            span += 1
            await reader.find(made.record.sha256)
        spans.append(span)
    assert 48 <= min(spans) < 54
    assert 66 < max(spans) <= 72


async def test_news_has_keys_and_teams_read_again_at_once_and_certainly_the_latest() -> None:
    table, clock = Table(), ManualClock()
    service = key_service(table, clock)
    await service.teams.create("t", TeamFields("T"), "master")
    made = await service.keys.create(KeyFields("ci", team="t"), "master")
    reader = KeyReader(table, clock, Random(1))
    assert await reader.find(made.record.sha256) is not None
    await service.keys.set_state(made.record.id, "revoked", "master")
    remembered = await reader.find(made.record.sha256)
    assert remembered is not None
    assert remembered.record.state == "active"
    reader.renew()
    table.certain.clear()
    for _ in range(2):
        told = await reader.find(made.record.sha256)
        assert told is not None
        assert told.record.state == "revoked"
    assert table.certain == [True, True], "the record and the team, once"
    clock.advance(LONGEST_S)
    await reader.find(made.record.sha256)
    assert table.certain == [True, True, False, False]


async def test_what_was_asked_for_before_the_news_is_asked_for_again() -> None:
    table, clock = Table(), TwoClocks()
    made = await key_service(table).keys.create(KeyFields("ci"), "master")
    reader = KeyReader(table, clock, Random(1))
    reader._remember(made.record.sha256, made.record, (clock.wall, clock.monotonic))
    clock.run(1.0)
    before = (clock.wall, clock.monotonic)
    clock.run(1.0)
    reader.renew()
    reader._remember(made.record.sha256, made.record, before)
    table.reads = 0
    await reader.find(made.record.sha256)
    assert table.reads == 1


async def test_after_news_that_cannot_be_read_the_old_record_holds_as_in_any_outage() -> None:
    table, clock = Table(), ManualClock()
    made = await key_service(table, clock).keys.create(KeyFields("ci"), "master")
    reader = KeyReader(table, clock, Random(1))
    await reader.find(made.record.sha256)
    reader.renew()
    table.down = True
    assert await reader.find(made.record.sha256) is not None


async def test_a_key_made_a_moment_after_it_was_asked_for_is_found_soon() -> None:
    table, clock = Table(), ManualClock()
    service = key_service(table, clock)
    reader = KeyReader(table, clock, Random(1))
    made = await service.keys.create(KeyFields("ci"), "master")
    item = table.items.pop((f"K#{made.record.sha256}", "M"))
    assert await reader.find(made.record.sha256) is None
    table.items[(f"K#{made.record.sha256}", "M")] = item
    clock.advance(5)
    assert await reader.find(made.record.sha256) is not None


async def test_a_flood_of_unknown_keys_neither_grows_the_memory_nor_pushes_out_a_known_one() -> None:
    table, clock = Table(), ManualClock()
    made = await key_service(table, clock).keys.create(KeyFields("ci"), "master")
    reader = KeyReader(table, clock, Random(1))
    await reader.find(made.record.sha256)
    for number in range(3000):
        assert await reader.find(digest_of(str(number))) is None
    assert len(reader._unknown) == 1024
    table.reads = 0
    assert await reader.find(made.record.sha256) is not None
    assert table.reads == 0


def test_of_many_values_the_longest_unused_is_forgotten() -> None:
    clock = ManualClock()
    recent: Recent[int] = Recent(clock, 2)
    for number, name in enumerate("ab"):
        recent.put(name, number, recent.now(), 60)
    assert recent.fresh("a") is not None
    recent.put("c", 2, recent.now(), 60)
    assert [recent.fresh(name) is not None for name in "abc"] == [True, False, True]


async def test_an_unknown_key_is_unknown_for_seconds_only_when_the_table_is_down() -> None:
    table, clock = Table(), ManualClock()
    reader = KeyReader(table, clock, Random(1))
    assert await reader.find("0" * 64) is None
    table.down = True
    assert await reader.find("0" * 64) is None
    clock.advance(5)
    with pytest.raises(StateError):
        await reader.find("0" * 64)


async def test_a_clock_set_back_makes_it_read_again() -> None:
    table, clock = Table(), TwoClocks()
    made = await key_service(table).keys.create(KeyFields("ci"), "master")
    reader = KeyReader(table, clock, Random(1))
    await reader.find(made.record.sha256)
    table.reads = 0
    clock.wall -= 3600
    await reader.find(made.record.sha256)
    assert table.reads == 1
    clock.wall -= 3600
    table.down = True
    with pytest.raises(StateError):
        await reader.find(made.record.sha256)


async def test_a_record_that_cannot_be_understood_is_trouble_and_no_answer() -> None:
    table = Table()
    await table.update(Update("K#" + "0" * 64, "M", set={"id": "x"}))
    with pytest.raises(StateError, match="unreadable key record"):
        await KeyReader(table, ManualClock(), Random(1)).find("0" * 64)


class Remembering(RuleBasedStateMachine):
    """One reader, an administrator who changes the key, a table that comes and goes, clocks that jump and freeze."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.table, self.clock = Table(), TwoClocks()
        self.reader = KeyReader(self.table, self.clock, Random(seed))
        self.version = 0
        self.digest = digest_of("sk-pllm-" + "A" * 43)
        # (version, wall and monotonic clock when it stopped being the newest)
        self.ended: dict[int, tuple[float, float]] = {}
        self.change()

    @rule()
    def change(self) -> None:
        if self.version:
            self.ended[self.version] = (self.clock.wall, self.clock.monotonic)
        self.version += 1
        fields = KeyFields("ci")
        record = KeyRecord("k", self.digest, fields, 0, "master", version=self.version)
        for write in key_writes(None, record, self.clock.wall):
            assert isinstance(write, Update)
            self.table.items[(write.pk, write.sk)] = applied(write, {})

    @rule(down=st.booleans())
    def outage(self, down: bool) -> None:
        self.table.down = down

    @rule(seconds=st.one_of(st.floats(0, 100), st.floats(0, 2000)))
    def time_passes(self, seconds: float) -> None:
        self.clock.run(seconds)

    @rule(seconds=st.floats(0, 5000))
    def freeze(self, seconds: float) -> None:
        self.clock.wall += seconds

    @rule(seconds=st.floats(-7200, 7200))
    def set_the_clock(self, seconds: float) -> None:
        self.clock.wall += seconds
        # What had ended by the old time ended by the new one, too: the clock was set, no time passed.
        self.ended = {version: (wall + seconds, monotonic) for version, (wall, monotonic) in self.ended.items()}

    @invariant()
    def what_is_read_is_young_enough(self) -> None:
        if not hasattr(self, "reader"):
            return
        find = self.reader.find(self.digest)
        try:
            find.send(None)
        except StopIteration as done:
            holder = done.value
        except StateError:
            assert self.table.down
            return
        assert holder is not None
        seen = holder.record.version
        if seen == self.version:
            return
        bound_s = LONGEST_S + (STALE_S if self.table.down else 0.0)
        assert self.clock.monotonic - self.ended[seen][1] < bound_s

    def teardown(self) -> None:
        if hasattr(self, "reader"):
            assert len(self.reader._known) <= 1


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@given(st.lists(st.tuples(st.floats(0, 120), st.booleans()), max_size=20), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
async def test_while_time_only_passes_age_has_its_bound_and_a_table_that_answers_always_decides(
    steps: list[tuple[float, bool]], seed: int
) -> None:
    table, clock = Table(), ManualClock()
    service = key_service(table, clock)
    made = await service.keys.create(KeyFields("ci"), "master")
    reader = KeyReader(table, clock, Random(seed))
    await reader.find(made.record.sha256)
    read_s = clock.wall_s()
    await service.keys.set_state(made.record.id, "revoked", "master")
    for seconds, down in steps:
        clock.advance(seconds)
        table.down = down
        age_s = clock.wall_s() - read_s
        try:
            holder = await reader.find(made.record.sha256)
        except StateError:
            assert down
            assert age_s >= FRESH_S * (1 - JITTER) + STALE_S
            continue
        assert holder is not None
        if holder.record.state == "active":
            assert age_s < LONGEST_S + (STALE_S if down else 0.0)
