"""`make sam-local`: the built template under `sam local`, where a Docker daemon runs.

`sam local` cannot stream, so the functions run in their buffered mode. The models are answered by the demo upstream on this
machine; for that, a copy of the build gets a configuration of its own. Every file of events/ is invoked once, then
`sam local start-api` is driven with the OpenAI SDK. The exit code is 1 when an answer is not the promised one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from openai import NotFoundError, OpenAI

from infra import package

KEY = "sk-pllm-local"
# What the demo upstream is called inside a container; the host is made known to it under this name.
HOST_NAME = "host.docker.internal"
STATUSES = {
    "bad-json": 400,
    "empty-body": 400,
    "key-in-query": 401,
    "model-unknown": 404,
    "no-messages": 400,
    "unauthorized": 401,
    "unknown-model": 404,
    "unknown-path": 404,
    "wrong-key": 401,
    "wrong-method": 405,
    "wrong-type": 400,
}
"""Status by event, for the ones that are refused; 200 for all others."""
START_S = 600
LOG = package.ROOT / ".aws-sam" / "sam-local.log"


@dataclass(frozen=True)
class SamLocal:
    """How `sam local` is called: the command, the copied build, its variables, and the user's further flags."""

    sam: Path
    build: Path
    variables: Path
    flags: tuple[str, ...]

    def command(self, subcommand: str, *arguments: str) -> list[str]:
        """One `sam local` command line."""
        template = str(self.build / "template.yaml")
        common = ["--template", template, "--env-vars", str(self.variables), "--add-host", f"{HOST_NAME}:host-gateway"]
        return [str(self.sam), "local", subcommand, *arguments, *common, *self.flags]


def environment() -> dict[str, str]:
    """This process's variables and what `sam` asks for: a region and credentials, which nothing here uses."""
    invented = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    return {**invented, **os.environ, "SAM_CLI_TELEMETRY": "0"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Return when `url` answers anything. Raises SystemExit when the process ends or the patience does."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}; see {LOG}")
        try:
            httpx.get(url, timeout=60)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer within {patience_s:.0f} s; see {LOG}")


@contextmanager
def running(command: Sequence[str], url: str, patience_s: float) -> Iterator[None]:
    """A process that answers `url`, ended afterwards; what it writes goes to the log."""
    with LOG.open("ab") as log:
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
    try:
        wait_for(url, process, patience_s)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def prepare(built: Path, folder: Path, upstream_port: int) -> tuple[Path, Path]:
    """A copy of the build whose configuration names the demo upstream, and the file of variables for it."""
    copy = folder / "build"
    shutil.copytree(built, copy)
    source = folder / "config"
    source.mkdir()
    (source / "config.yaml").write_text(
        "model_list:\n"
        "  - model_name: demo\n"
        f"    params: {{model: compatible/demo, api_base: 'http://{HOST_NAME}:{upstream_port}/v1'}}\n"
        f"auth: {{master_key: {KEY}}}\n",
        encoding="utf-8",
    )
    package.build_config(source, copy / "ConfigLayer")
    variables = folder / "variables.json"
    variables.write_text(
        json.dumps({"Parameters": {"LAMBDA_STREAM_MODE": "buffered", "PLLM_SECRET_ARN": ""}}), encoding="utf-8"
    )
    return copy, variables


def invoke(local: SamLocal, event: Path) -> tuple[bool, str]:
    """Invoke the data plane with one event: whether the status is the promised one, and a line about the answer."""
    command = local.command("invoke", "GatewayFunction", "--event", str(event))
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    promised = STATUSES.get(event.stem, 200)
    try:
        answer = json.loads(ran.stdout.strip().splitlines()[-1])
        status, body = answer["statusCode"], str(answer["body"])
    except (IndexError, KeyError, TypeError, ValueError):
        return False, f"no answer; sam ended with {ran.returncode}: {(ran.stderr or ran.stdout)[-600:]}"
    shown = body if len(body) < 100 else body[:97] + "..."
    return status == promised, f"{status}{'' if status == promised else f' instead of {promised}'} {shown!r}"


def converse(url: str) -> Iterator[tuple[str, bool, str]]:
    """Drive `sam local start-api` with the OpenAI SDK: name, verdict and detail of each step."""
    sdk = OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=START_S)
    names = [model.id for model in sdk.models.list()]
    yield "models", names == ["demo"], ", ".join(names)
    answer = sdk.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello"}])
    text = answer.choices[0].message.content or ""
    yield "chat", "Hello" in text, text
    chunks = list(sdk.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello"}], stream=True))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    yield "stream", "Hello" in text, f"{len(chunks)} chunks, in one piece: sam local cannot stream"
    try:
        sdk.chat.completions.create(model="dmeo", messages=[{"role": "user", "content": "Hello"}])
    except NotFoundError as error:
        yield "unknown model", True, error.message
    else:
        yield "unknown model", False, "it answered"


def show(name: str, passed: bool, detail: str) -> int:
    """Print one verdict; 1 when it failed."""
    print(f"{'ok    ' if passed else 'FAILED'} {name:<18} {detail}", flush=True)
    return int(not passed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every answer was the promised one."""
    parser = argparse.ArgumentParser(prog="infra.sam_local", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sam", type=Path, required=True)
    parser.add_argument("--events", type=Path, default=package.ROOT / "events")
    parser.add_argument("flags", nargs="*", help="further flags of `sam local`, after --")
    options = parser.parse_args(arguments)
    upstream_port, api_port, failed = free_port(), free_port(), 0
    # Every address, because containers reach this machine through another one than loopback.
    demo = [sys.executable, "-m", "pllm.local.demo", "--host", "0.0.0.0", "--port", str(upstream_port)]  # noqa: S104
    with (
        tempfile.TemporaryDirectory(prefix="pllm-sam-") as folder,
        running(demo, f"http://127.0.0.1:{upstream_port}/v1/models", patience_s=30),
    ):
        build, variables = prepare(package.BUILT, Path(folder), upstream_port)
        local = SamLocal(options.sam.absolute(), build, variables, tuple(options.flags))
        for event in sorted(options.events.glob("*.json")):
            failed += show(event.stem, *invoke(local, event))
        api = f"http://127.0.0.1:{api_port}"
        command = local.command("start-api", "--port", str(api_port), "--warm-containers", "EAGER")
        with running(command, f"{api}/health", patience_s=START_S):
            for name, passed, detail in converse(f"{api}/v1"):
                failed += show(f"start-api: {name}", passed, detail)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
