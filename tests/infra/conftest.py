"""What the tests of packaging and deployment share."""

import os
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """infra/template.yaml, short forms such as !Ref spelled out."""
    parsed: dict[str, Any] = cfn_yaml.load(str(ROOT / "infra" / "template.yaml"))
    return parsed


@pytest.fixture(scope="session")
def sam() -> Path:
    """The AWS SAM CLI in its own environment. Skips loudly where it is not installed, and fails in CI."""
    path = ROOT / ".tools" / "sam" / "bin" / "sam"
    if not path.exists():
        message = f"NO SAM CLI at {path}: `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
