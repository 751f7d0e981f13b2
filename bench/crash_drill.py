"""Workers killed in the middle of everything: is anything leaked, or overspent?

`python -m bench.crash_drill --kills 500` kills that many whole gateways (about a second each), and writes what came of it to
bench/RESULTS.md. The drill itself, and how it can be judged to the micro-dollar: tests/support/worker_drill.py.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import RESULTS, Table, kept

TITLE = "Workers killed as they stream"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one drill. The exit code is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.crash_drill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    table, problems = measure(options.kills, options.seed)
    print(table.markdown())
    for problem in problems:
        print(problem)
    if not problems:
        text = RESULTS.read_text()
        for old in kept(TITLE):
            text = text.replace(old, "")
        RESULTS.write_text(f"{text.rstrip()}\n\n{table.markdown()}")
    return 1 if problems else 0


def measure(kills: int, seed: int) -> tuple[Table, list[str]]:
    """What came of one drill, and which promises it broke."""
    from tests.support.dynamodb import dynamodb_local
    from tests.support.worker_drill import CLIENTS, MAX_PARALLEL, WORKERS, drill

    with tempfile.TemporaryDirectory() as folder, dynamodb_local() as endpoint:
        report = asyncio.run(drill(kills, seed, Path(folder), endpoint))
    rows = [
        ["killed with SIGKILL", f"{report.killed.total():,}"],
        *([f"of those, {point}", f"{times:,}"] for point, times in report.killed.most_common()),
        ["requests answered whole", f"{report.answered:,}"],
        ["requests cut by a kill", f"{report.cut:,}"],
        *([f"requests refused: {why}", f"{times:,}"] for why, times in report.refused.most_common()),
        ["cut, and charged their exact cost all the same", f"{report.cut_and_paid:,}"],
        ["answered whole by a worker that died before it had settled: not charged", f"{report.unpaid:,}"],
        ["hold generations that went by", f"{report.generations:,}"],
        ["writes of gates, all judged", f"{report.gate_writes:,}"],
        ["most held at once, micro-dollars", f"{report.most_held:,}"],
        ["most calls at the provider at once, by its own count", f"{report.most_parallel} (limit {MAX_PARALLEL})"],
        ["budget, micro-dollars", f"{report.budget:,}"],
        ["spent, by the table", f"{report.spent:,}"],
        ["spent, less the sum of all exact costs charged", "0" if not report.problems else "see below"],
        ["held money and calls left after two generations", "0" if not report.problems else "see below"],
    ]
    notes = [
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {report.took_s:.0f} s: {WORKERS} workers at a time with {CLIENTS} clients "
        "each, DynamoDB Local, one machine; `python -m bench.crash_drill`. The time of day runs ahead, but no request gets "
        "older than 14 minutes.",
        "Every request costs something else, and every write of a gate is seen on its way to the table: so each charge is "
        "known to be the exact cost of one request, once, also where its worker died before it heard of it.",
    ]
    return Table(TITLE, ["", ""], rows, notes), report.problems


if __name__ == "__main__":
    raise SystemExit(main())
