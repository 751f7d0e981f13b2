"""`make bench`: every measurement in turn; prints the tables and writes them to bench/RESULTS.md.

`python -m bench.run latency coldstart` runs only those. Loopback only; under five minutes.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench import coldstart, concurrency, crash_drill, latency, memory, package, streams
from bench.figures import RESULTS, Table, kept
from bench.processes import Bench

_MEASUREMENTS: Mapping[str, Callable[[Bench], list[Table]]] = {
    "latency": latency.measure,
    "streams": streams.measure,
    "concurrency": concurrency.measure,
    "coldstart": coldstart.measure,
    "memory": memory.measure,
    "package": lambda _bench: package.measure(),
}

_METHOD = """\
Every figure is a difference or a ratio taken in one run, interleaved round by round with its yardstick; medians, and in
parentheses the lowest and highest round. Upstream (canned bytes), client and gateway are processes of their own on the same
machine and share its cores: read the figures as ratios. "Gateway as a server" is the application that is deployed, behind
uvicorn in one process; "pllm local" puts the local stand-in for API Gateway and Lambda before it, which the cloud does not
have; "local relay alone" is that stand-in with an application that answers from memory. CPU is the gateway process's own, by
the operating system's clock. Re-run with `make bench`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the measurements that are named, all by default; only a whole run is written down."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="MEASUREMENT", help=", ".join(_MEASUREMENTS))
    names = parser.parse_args(arguments).names
    if unknown := sorted(set(names) - _MEASUREMENTS.keys()):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(_MEASUREMENTS)}")
    started_s = time.monotonic()
    report = [_head()]
    print(report[0])
    for name in names or _MEASUREMENTS:
        with Bench() as bench:
            for table in _MEASUREMENTS[name](bench):
                print(table.markdown(), flush=True)
                report.append(table.markdown())
    print(f"{time.monotonic() - started_s:.0f} s", file=sys.stderr)
    if not names:
        RESULTS.write_text("\n".join([*report, *kept(crash_drill.TITLE)]))
    return 0


def _head() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    machine = f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}"
    state = f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the start"
    return f"# Measurements\n\n{datetime.now(UTC):%Y-%m-%d}: {machine}, {state}.\n\n{_METHOD}"


if __name__ == "__main__":
    sys.exit(main())
