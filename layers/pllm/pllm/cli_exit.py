"""How a command ends where its output has nowhere to go: as any other command of a shell."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

BROKEN_PIPE, INTERRUPTED, UNWRITABLE = 141, 130, 2
"""Exit codes. The first two are what a shell shows of a command that SIGPIPE or SIGINT ended: 128 and the signal's number."""


def ended(run: Callable[[], int]) -> int:
    """What `run` returns, once all it printed is written. Silent where the reader has left (`| head -1`) or the user has
    stopped it; a sentence where the output cannot be written."""
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()  # what waits in a buffer would fail later, where only the interpreter could say so
    except BrokenPipeError:
        code = BROKEN_PIPE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:
        with suppress(OSError):
            sys.stderr.write(f"pllm: error: {error.filename or 'the output'}: {error.strerror or error}\n")
        code = UNWRITABLE
    _drop_what_waits()
    return code


def _drop_what_waits() -> None:
    """Else the interpreter would try to write it once more as it ends, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
