"""What happens when awslambdaric imports the entry module."""

import os
import subprocess
import sys

from tests.runtime.support.folders import APPS, RUNTIME

_LOOK = "print(gc.isenabled(), gc.get_freeze_count() > 1000)"


def _run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(RUNTIME), str(APPS))), "_HANDLER": "served_app.app"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_after_the_init_garbage_is_collected_and_what_the_init_made_is_left_alone() -> None:
    assert _run(f"import gc; gc.disable(); import lambda_stream.entry; {_LOOK}") == "True True"


def test_the_handler_is_the_streaming_one_by_default() -> None:
    assert _run("import lambda_stream.entry as e; print(e.handler.__qualname__)") == "streaming_handler.<locals>.handle"
