"""`pllm probe`: which of a configuration's providers answer, asked from here as the scheduled function asks them."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TextIO

from pllm.cli_arguments import file_name, provider, seconds
from pllm.core.config import CompiledConfig, ConfigError
from pllm.core.config.schema import HealthProbes
from pllm.core.errors import GatewayError

OK, FAILED, UNREADABLE = 0, 1, 2
"""Exit codes: all that were asked answer; some do not, or the configuration is refused; the file cannot be read."""

_BUDGET_S = 600.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `probe`; it sets `run`, a function of the parsed arguments that returns the exit code."""
    parser = subparsers.add_parser("probe", help="ask every provider of a configuration whether it answers, without paying")
    parser.add_argument("file", metavar="FILE", type=file_name, help="YAML, JSON or compiled configuration")
    parser.add_argument(
        "--paid",
        metavar="PROVIDER",
        type=provider,
        action="append",
        default=[],
        help="ask its chat models for one token, which costs that much",
    )
    parser.add_argument("--timeout", metavar="S", type=seconds, default=10.0, help="longest wait for an answer (default: 10 s)")
    parser.set_defaults(run=lambda a: probe(a.file, a.paid, a.timeout))


def probe(
    path: str,
    paid: Sequence[str] = (),
    timeout_s: float = 10.0,
    environment: Mapping[str, str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Print a line for each deployment to `out`, what is wrong with the file to `err`; return the exit code."""
    from pllm.startup import read_config  # with its HTTP client: for this command alone

    out, err = out or sys.stdout, err or sys.stderr
    environment = os.environ if environment is None else environment
    try:
        compiled = read_config(path)
        settings = HealthProbes(paid=tuple(paid), timeout=timeout_s)
        router = replace(compiled.config.router, health_probes=settings)
        compiled = replace(compiled, config=replace(compiled.config, router=router))
        return asyncio.run(_probed(compiled, environment, out, err))
    except OSError as error:
        if error.filename is None:
            raise  # of what is printed, not of what is read
        err.write(f"{error.filename}: error: {error.strerror}\n")
        return UNREADABLE
    except ConfigError as error:
        err.writelines(f"{problem}\n" for problem in error.problems)
        return FAILED
    except GatewayError as error:
        err.write(f"{error.message}\n")
        return UNREADABLE


async def _probed(compiled: CompiledConfig, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    from pllm.bootstrap import probe_outfit
    from pllm.state.memory import MemoryStore

    told: set[str] = set()

    def tell(line: dict[str, Any]) -> None:
        if line.get("message") == "probe":
            told.add(line["deployment"])
            out.write(f"{_words(line)}\n")
        elif "warning" in line:
            err.write(f"warning: {line['warning']}\n")

    # Nothing was ever heard of anything here, so everything is asked.
    async with probe_outfit(environment, tell).prober(compiled, environment, MemoryStore()) as prober:
        counts = await prober.run(_BUDGET_S)
        everything = list(prober.catalogue.deployments())
    for one in everything:
        if one.id not in told:
            out.write(f"not asked  {one.id}: only a paid call could tell (--paid {one.provider})\n")
    out.writelines(f"not served {name}: {why}\n" for name, why in prober.catalogue.disabled.items())
    return FAILED if counts["failed"] or counts["late"] else OK


def _words(line: Mapping[str, Any]) -> str:
    why = f": {line['error']}" if "error" in line else ""
    asked = " its model," if line["asked"] == "model" else ""
    return f"{line['outcome']:<10} {line['deployment']},{asked} {line['latency_ms']:.0f} ms{why}"
