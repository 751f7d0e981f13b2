"""Sending to a client that may be gone, or may never read."""

import asyncio
from typing import Any

import pytest

from pllm.edge.exchange import ClientGoneError, Sent

BODY = {"type": "http.response.body", "body": b"x", "more_body": False}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pllm.edge.exchange._LAST_WORDS_S", 0.01)


async def reads_nothing(_message: Any) -> None:
    await asyncio.Event().wait()


async def test_a_client_that_reads_nothing_is_gone_once_the_deadline_has_passed() -> None:
    sent = Sent(reads_nothing, 0.01)
    with pytest.raises(ClientGoneError):
        await sent(BODY)
    with pytest.raises(ClientGoneError):
        await sent(BODY)


async def test_last_words_after_the_deadline_reach_a_client_that_reads() -> None:
    heard = []

    async def reads(message: Any) -> None:
        heard.append(message)

    sent = Sent(reads, 0.0)
    await asyncio.sleep(0.02)
    await sent(BODY)
    assert heard == [BODY]


async def test_who_cancels_a_sender_is_not_told_that_its_client_left() -> None:
    sent = Sent(reads_nothing, 60.0)
    sending = asyncio.create_task(sent(BODY))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    sent.end()
