"""Whole gateways killed with SIGKILL in the middle of everything: nothing is leaked, nothing overspent, to the micro-dollar."""

import os
from pathlib import Path

import pytest
from tests.support.worker_drill import MAX_PARALLEL, POINTS, drill

KILLS = int(os.environ.get("PLLM_DRILL_KILLS", "32"))


@pytest.mark.needs_java
@pytest.mark.slow
async def test_a_fleet_whose_workers_are_killed_as_they_stream_leaks_nothing_and_overspends_nothing(
    tmp_path: Path, local_endpoint: str
) -> None:
    report = await drill(KILLS, seed=11, folder=tmp_path, endpoint=local_endpoint)
    assert report.problems == []
    assert report.killed.total() >= KILLS
    assert len(report.killed.keys() & set(POINTS)) >= len(POINTS) - 2
    assert 0 < report.spent <= report.budget
    assert report.answered > KILLS // 2
    assert report.cut > KILLS // 2
    assert 1 < report.most_parallel <= MAX_PARALLEL
    assert report.generations > 2
