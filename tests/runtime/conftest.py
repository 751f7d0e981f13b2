"""The fixtures of the runtime's tests."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.runtime.support.emulator import Emulated, emulated, find_emulator
from tests.runtime.support.gates import GateServer
from tests.runtime.support.recording import RecordingRuntimeApi, recording_runtime_api


@pytest.fixture
async def runtime_api() -> AsyncIterator[RecordingRuntimeApi]:
    """A Runtime API that records."""
    async with recording_runtime_api() as api:
        yield api


@pytest.fixture
async def gate() -> AsyncIterator[GateServer]:
    """A side channel to the apps of this test."""
    async with GateServer() as server:
        yield server


@pytest.fixture(scope="session")
def emulator() -> Path:
    """AWS's own Runtime API, required in CI."""
    found = find_emulator()
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(
            "the Lambda Runtime Interface Emulator is required in CI: install aws-sam-cli into .tools/sam or set PLLM_RIE"
        )
    pytest.skip("NO PROOF AGAINST THE REAL RUNTIME API: aws-lambda-rie is neither in .tools/sam nor named by PLLM_RIE")


@pytest.fixture(scope="module")
def emulated_app(emulator: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """served_app under the emulator, shared by the tests of a module."""
    with emulated(emulator, tmp_path_factory.mktemp("rie") / "log") as running:
        yield running
