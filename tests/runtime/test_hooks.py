import asyncio

import pytest

import lambda_stream
from lambda_stream.hooks import AfterResponseWork


async def test_work_runs_in_the_order_of_registration_and_may_register_more() -> None:
    done: list[str] = []
    work = AfterResponseWork()
    work.begin()

    async def asynchronous() -> None:
        await asyncio.sleep(0)
        done.append("asynchronous")
        work.add(lambda: done.append("registered meanwhile"))

    work.add(lambda: done.append("plain"))
    work.add(asynchronous)
    work.add(asynchronous())
    assert work.is_pending
    await work.run()
    assert done == ["plain", "asynchronous", "asynchronous", "registered meanwhile", "registered meanwhile"]
    assert not work.is_pending


@pytest.mark.parametrize("error", [ValueError("broken work"), SystemExit(1), asyncio.CancelledError()])
async def test_failing_work_is_logged_and_the_next_one_runs(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    work = AfterResponseWork()
    work.begin()

    def fails() -> None:
        raise error

    work.add(fails)
    work.add(lambda: done.append("next"))
    await work.run()
    assert done == ["next"]
    assert "after-response work failed" in caplog.text


async def test_work_is_refused_when_no_invocation_runs() -> None:
    work = AfterResponseWork()

    async def never_run() -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="outside an invocation"):
        work.add(never_run())
    work.begin()
    work.end()
    with pytest.raises(RuntimeError, match="outside an invocation"):
        work.add(lambda: None)


def test_what_cannot_be_run_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="takes a callable or a coroutine, not int"):
        lambda_stream.after_response(3)  # type: ignore[arg-type]


def test_snapshot_hooks_are_registered_with_aws_and_return_what_they_decorate(monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[object] = []
    after: list[object] = []
    monkeypatch.setattr("snapshot_restore_py._before_snapshot_registry", before)
    monkeypatch.setattr("snapshot_restore_py._after_restore_registry", after)
    called: list[str] = []

    @lambda_stream.before_snapshot
    def close() -> None:
        called.append("close")

    lambda_stream.after_restore(close)
    close()
    assert (len(before), len(after), called) == (1, 1, ["close"])
