"""Workers killed with SIGKILL while they hold admissions, by the hundred: two generations later nothing is leaked."""

import asyncio
import json
import os
import subprocess
import sys
from random import Random

import pytest
from tests.properties.crash_drill import LIMITS
from tests.support.dynamodb import table_of
from tests.support.processes import ROOT

from pllm.core.clock import ManualClock
from pllm.core.limits import GENERATION_S, Reservation, Spent
from pllm.state.gate import Gates
from pllm.state.gate_ticket import Ticket
from pllm.state.table import connect

KILLS = int(os.environ.get("PLLM_DRILL_KILLS", "96"))
TABLE = "crash-drill"


@pytest.mark.needs_java
@pytest.mark.slow
async def test_what_killed_workers_held_is_free_again_and_what_was_used_is_paid(local_endpoint: str) -> None:
    client = connect("us-east-1", local_endpoint, read_timeout_s=10.0)
    with table_of(client, TABLE) as store:
        command = [sys.executable, "-m", "tests.properties.crash_drill", local_endpoint, TABLE, str(KILLS), "7"]
        done = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
        async with asyncio.timeout(300):
            said, _ = await done.communicate()
        report = json.loads(said)
        assert report["killed"] >= KILLS
        assert report["held"] > KILLS / 3
        gates = Gates(store, ManualClock(report["now_s"] + 2 * GENERATION_S), Random(1))
        found = await gates.admit(LIMITS, Reservation(1, 0))
        assert isinstance(found, Ticket)
        await gates.settle(found, Spent(0, 0))
        for limits in LIMITS:
            gate = await gates.look(limits)
            assert gate is not None
            assert (gate.held, gate.held_now, gate.held_before) == (0, 0, 0)
            assert (gate.parallel, gate.parallel_now, gate.parallel_before) == (0, 0, 0)
            # To the micro-dollar, but for those that were being settled at the very moment they were killed.
            spent = (gate.budget_limit or 0) - gate.budget_left
            assert report["settled"] <= spent <= report["settled"] + report["perhaps"]
