"""A fresh environment: what it imports and builds, and when its first answer is there, on AWS's own Runtime API."""

import compileall
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.client import PROMPT
from bench.figures import Spread, Table
from bench.processes import KEY, ROOT, Bench
from tests.runtime.support.emulator import emulated, find_emulator
from tests.runtime.support.events import make_rest_event

_INIT = "import gc; gc.disable(); import lambda_stream.runtime, handler"  # as `python -m lambda_stream` does

_STEPS: Mapping[str, str] = {
    "nothing": "pass",
    "`import pydantic`": "import pydantic",
    "pydantic with one model class": "import pydantic\nclass M(pydantic.BaseModel):\n    x: int",
    "streaming runtime (AWS's client, Mangum)": "import lambda_stream.runtime",
    "data plane, imported": "import pllm.bootstrap",
    "data plane, imported and built (config, routes, providers)": "import handler",
    "the whole init: runtime and data plane": _INIT,
    "the whole init, were FastAPI used": f"{_INIT}, fastapi",
    "boto3 with a DynamoDB client (not in the data plane's init)": "import boto3; boto3.client('dynamodb', 'us-east-1')",
}


def measure(bench: Bench, *, rounds: int = 7) -> list[Table]:
    """Byte code is built first, as the build does it."""
    paths = _compiled(bench.folder / "deployed")
    variables = bench.variables | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return [_imports(variables, rounds), _packages(variables), *_first_answer(bench, variables, rounds)]


def _compiled(folder: Path) -> Sequence[Path]:
    """Copies of what is deployed, byte code inside and used without a look at the sources; then the dependencies."""
    sources = {"task": ROOT / "functions" / "gateway", "opt/pllm": ROOT / "layers" / "pllm" / "pllm"}
    sources["opt/lambda_stream"] = ROOT / "layers" / "runtime" / "lambda_stream"
    for name, source in sources.items():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, invalidation_mode=mode):
        raise SystemExit("not all of the sources compile")
    return folder / "task", folder / "opt", Path(sysconfig.get_path("purelib"))


def _cpu_of(code: str, variables: Mapping[str, str]) -> float:
    """CPU seconds of a fresh interpreter, outside the virtual environment: its start-up files are not in the cloud."""
    python = getattr(sys, "_base_executable", sys.executable)
    environment = {"PATH": os.environ["PATH"], **variables}
    process = subprocess.Popen([python, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"this does not run: {code}")
    return usage.ru_utime + usage.ru_stime


def _imports(variables: Mapping[str, str], rounds: int) -> Table:
    for code in _STEPS.values():
        _cpu_of(code, variables)  # warms the disk cache
    samples: dict[str, list[float]] = {name: [] for name in _STEPS}
    for _ in range(rounds):
        for name, code in _STEPS.items():
            samples[name].append(_cpu_of(code, variables))
    bare = Spread.of(samples["nothing"]).middle
    whole = Spread.of(samples["`import pydantic`"]).middle
    modelled = Spread.of(samples["pydantic with one model class"]).middle
    rows = []
    for name, values in samples.items():
        spread = Spread.of(values)
        multiples = [f"{spread.middle / whole:.1f}", f"{(spread.middle - bare) / (modelled - bare):.1f}"]
        rows.append([name, spread.text(1000, 0), *multiples])
    header = [
        "fresh process",
        "CPU ms",
        "multiple of `import pydantic`",
        "multiple of pydantic with one model, less the interpreter",
    ]
    note = "pydantic imports most of itself when it is first used: hence the second yardstick, a class of one field."
    return Table("Cold start: import and init", header, rows, [note])


def _packages(variables: Mapping[str, str]) -> Table:
    """Self time by package, from -X importtime: shares, since the tracing itself costs."""
    python = getattr(sys, "_base_executable", sys.executable)
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [python, "-X", "importtime", "-c", _INIT]
    traced = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    shares: dict[str, int] = {}
    for line in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", traced):
        name = ".".join(line[1].split(".")[: 2 if line[1].startswith("pllm.") else 1])
        shares[name] = shares.get(name, 0) + int(line[0])
    total = sum(shares.values())
    top = sorted(shares.items(), key=lambda share: -share[1])[:14]
    rows = [[name, f"{used / 1000:.1f}", f"{used / total:.0%}"] for name, used in top]
    return Table("Cold start: where the imports' time goes", ["package (own modules)", "ms", "share"], rows)


def _first_answer(bench: Bench, variables: Mapping[str, str], rounds: int) -> list[Table]:
    emulator = find_emulator()
    if emulator is None:
        return [
            Table(
                "Cold start: first answer", ["the Lambda Runtime Interface Emulator is not here"], [["`make build` brings it"]]
            )
        ]
    event = make_rest_event(
        "/v1/chat/completions",
        "POST",
        (("Host", "localhost"), ("Authorization", f"Bearer {KEY}"), ("Content-Type", "application/json")),
        json.dumps({"model": "json", "messages": [{"role": "user", "content": PROMPT}]}).encode(),
    )
    first: list[float] = []
    second: list[float] = []
    for number in range(rounds):
        started_s = time.perf_counter()
        with emulated(emulator, bench.folder / f"log-{number}", "handler.handler", "stream", variables) as function:
            for times in (first, second):
                status, body = function.invoke(event)
                if status != 200 or b'"chat.completion"' not in body:
                    raise SystemExit(f"no good answer: {body[:300]!r}")
                times.append(time.perf_counter() - started_s)
                started_s = time.perf_counter()
    rows = [
        ["emulator's start to the first good answer", Spread.of(first).text(1000, 0)],
        ["the next answer", Spread.of(second).text(1000, 1)],
    ]
    return [Table("Cold start: first answer, on AWS's Runtime Interface Emulator", ["", "ms"], rows)]
