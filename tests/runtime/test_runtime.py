import subprocess
import sys
from pathlib import Path

import pytest
from tests.runtime.support.folders import APPS, RUNTIME

from lambda_stream.runtime import StreamMarshaller


def _run(arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "lambda_stream", *arguments],
        env={"PYTHONPATH": f"{RUNTIME}:{APPS}"} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.slow
def test_a_missing_handler_is_answered_with_the_usage() -> None:
    result = _run([], {})
    assert result.returncode == 1
    assert "usage: python -m lambda_stream module.attribute" in result.stderr


@pytest.mark.slow
def test_several_invocations_at_a_time_are_refused_at_the_start() -> None:
    result = _run(["served_app.app"], {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_LAMBDA_MAX_CONCURRENCY": "4"})
    assert result.returncode == 1
    assert "unset AWS_LAMBDA_MAX_CONCURRENCY" in result.stderr


@pytest.mark.slow
def test_the_exec_wrapper_starts_the_runtime_with_the_layers_path_first(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH"\necho "$@"\n')
    python.chmod(0o755)
    environment = {"_HANDLER": "module.app", "PATH": "/usr/bin:/bin"}
    command = [str(RUNTIME / "bootstrap-wrapper"), str(python), "/var/runtime/bootstrap.py"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout.splitlines() == ["/opt/python:/var/task:/var/runtime", "-m lambda_stream module.app"]
    without = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=30, check=False)
    assert without.returncode == 64
    assert "_HANDLER is not set" in without.stderr


def test_answers_that_do_not_stream_are_marshalled_as_aws_does() -> None:
    assert StreamMarshaller().marshal_response({"statusCode": 200}) == ('{"statusCode": 200}', "application/json")
