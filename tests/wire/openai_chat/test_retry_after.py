"""How long to wait, from wherever a provider says it."""

import pytest

from pllm.wire.openai_chat.retry_after import duration_s, retry_after_s


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after": "9"}, "try again in 3s", 9),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "2m"}, "", 120),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 10),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, "", None),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, "", 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, "", 0.12),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "9s"}, "", None),
        ({}, "Please try again in 20s. Visit the docs.", 20),
        ({}, "Please try again in 1m2.5s.", 62.5),
        ({}, "Please try again in 350ms.", 0.35),
        ({}, "Please retry after 7 seconds.", 7),
        ({}, "Please retry after 2 minutes", 120),
        ({}, "Retry after 500 milliseconds", 0.5),
        ({}, "wait for it", None),
        ({}, "", None),
    ],
)
def test_the_wait_is_found(headers: dict[str, str], message: str, seconds: float | None) -> None:
    found = retry_after_s(headers, message)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360), ("1h1m1s", 3661), ("1d", 86400), ("0", 0), ("1x", None)])
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds
