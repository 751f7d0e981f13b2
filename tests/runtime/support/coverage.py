"""Lets worker processes take part in a coverage measurement, when there is one."""

import os


def coverage_variables() -> dict[str, str]:
    """What a child process needs to measure its own coverage; nothing when nobody measures."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    if variables:
        # As on this runtime of Lambda the main thread then hears the SIGTERM that ends a worker, and writes what it measured.
        variables["AWS_EXECUTION_ENV"] = "AWS_Lambda_python3.13"
    return variables
