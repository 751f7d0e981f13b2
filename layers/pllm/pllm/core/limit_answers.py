"""What a client is told about its limits: the headers of every answer, and which limit refused, whose, and until when."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pllm.core.clock import rfc3339
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.limit_image import GateImage, spare
from pllm.core.limits import WINDOW_S, GateLimits, LimitKind, Reservation, period_end_s

_NAMES = {"key": "key", "team": "team", "model": "model", "dep": "deployment"}
_STATE_RETRY_S = 2.0
_SLOT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one scope stood, at the time `at_s` (epoch seconds) of the clock that asked."""

    limits: GateLimits
    image: GateImage
    at_s: float


@dataclass(frozen=True, slots=True)
class Denial:
    """One limit said no. `limit`, `remaining` and `needed` are in the unit of `kind` (requests, tokens, calls in flight,
    micro-dollars). `retry_after_s` is None where waiting does not help; `standing` is None where the table did not answer."""

    scope: str
    kind: LimitKind
    limit: int = 0
    remaining: int = 0
    needed: int = 0
    retry_after_s: float | None = None
    resets_at_s: int | None = None
    period: str = "minute"
    standing: Standing | None = None

    @property
    def permanent(self) -> bool:
        """The request alone is larger than the whole limit."""
        return self.kind in (LimitKind.TOKENS, LimitKind.BUDGET) and self.needed > self.limit

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` of the scope that refused; `retry-after` travels in `error()`."""
        return rate_headers([self.standing]) if self.standing else {}

    def error(self) -> GatewayError:
        """429 for limits and budgets, 401 for a revoked key, 503 where the table could not be asked."""
        kind = _ERRORS.get(self.kind, ErrorKind.RATE_LIMITED)
        return GatewayError(kind, self._message(), retry_after_s=self.retry_after_s)

    def refused(self) -> GatewayError:
        """`error()` with `headers()` on it: what the client is told."""
        error = self.error()
        error.headers = self.headers()
        return error

    def _message(self) -> str:
        whose = describe(self.scope)
        match self.kind:
            case LimitKind.REVOKED:
                return f"Incorrect API key provided: {whose} was revoked."
            case LimitKind.STATE:
                return f"The limits of {whose} cannot be checked at the moment. Try again."
            case LimitKind.BUDGET:
                return self._budget_message(whose)
            case LimitKind.PARALLEL:
                return f"Limit of {whose} reached: {self.limit} calls in flight at once. Try again when one has ended."
        unit = f"{self.kind.value} per minute"
        if self.permanent:
            return (
                f"This request may use {self.needed} tokens, more than {whose} may use in a minute ({self.limit}). "
                "Shorten it or lower its maximum of tokens."
            )
        return (
            f"Rate limit of {whose} reached: {unit}: limit {self.limit}, remaining {self.remaining}, needed {self.needed}. "
            f"Try again in {math.ceil(self.retry_after_s or 0)} s."
        )

    def _budget_message(self, whose: str) -> str:
        period = "in total" if self.period == "total" else f"per {self.period}"
        start = f" It starts anew at {rfc3339(self.resets_at_s)}." if self.resets_at_s is not None else ""
        return (
            f"Budget of {whose} exceeded: ${_usd(self.limit)} {period}, ${_usd(self.remaining)} left, "
            f"this request may cost up to ${_usd(self.needed)}.{start}"
        )


_ERRORS = {
    LimitKind.BUDGET: ErrorKind.BUDGET_EXCEEDED,
    LimitKind.REVOKED: ErrorKind.AUTHENTICATION,
    LimitKind.STATE: ErrorKind.UNAVAILABLE,
}


def denial(kind: LimitKind, standing: Standing, need: Reservation) -> Denial:
    """The refusal that `shortage` found in an image that is up to date."""
    limits, image, at_s = standing.limits, standing.image, standing.at_s
    requests, tokens = spare(image, limits, at_s)
    resets_at_s = (image.window + 1) * WINDOW_S
    match kind:
        case LimitKind.REQUESTS:
            wait_s = _window_wait_s(image.requests_before, image.requests_left - 1, standing)
            numbers = (image.requests_limit or 0, max(requests, 0), 1)
        case LimitKind.TOKENS:
            wait_s = _window_wait_s(image.tokens_before, image.tokens_left - need.tokens, standing)
            numbers = (image.tokens_limit or 0, max(tokens, 0), need.tokens)
            if need.tokens > numbers[0]:
                wait_s = None
        case LimitKind.PARALLEL:
            limit = image.parallel_limit or 0
            numbers, wait_s = (limit, max(limit - image.parallel, 0), 1), _SLOT_RETRY_S
        case LimitKind.BUDGET:
            return _budget_denial(standing, need)
        case _:
            return Denial(limits.scope, kind, standing=standing)
    return Denial(limits.scope, kind, *numbers, wait_s, resets_at_s, standing=standing)


def unreachable(limits: GateLimits) -> Denial:
    """The table did not answer, and without it nothing may pass."""
    return Denial(limits.scope, LimitKind.STATE, retry_after_s=_STATE_RETRY_S)


def _budget_denial(standing: Standing, need: Reservation) -> Denial:
    limits, image = standing.limits, standing.image
    limit, budget = image.budget_limit or 0, limits.budget
    end_s = period_end_s(budget, standing.at_s) if budget else None
    if end_s is not None and need.micro_usd <= limit:
        wait_s: float | None = max(end_s - standing.at_s, 1.0)
    else:
        wait_s = None
    period = budget.period if budget else "total"
    remaining = max(image.budget_left, 0)
    return Denial(limits.scope, LimitKind.BUDGET, limit, remaining, need.micro_usd, wait_s, end_s, period, standing)


def _window_wait_s(before: int, after: int, standing: Standing) -> float | None:
    """Seconds until a request passes if nobody else comes. `after` is what would be left once it had passed."""
    image, now_s = standing.image, standing.at_s
    start_s, end_s = image.window * WINDOW_S, (image.window + 1) * WINDOW_S
    if standing.limits.sliding and after >= 0 and before > after:
        # It passes as soon as before * (1 - elapsed/60), rounded down, is no more than `after`.
        return max(start_s + WINDOW_S * (1 - (after + 1) / before) - now_s, 0.0) + 1.0
    return max(end_s - now_s, 1.0)


def rate_headers(standings: Iterable[Standing]) -> dict[str, str]:
    """OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`: of several scopes, the one with least left."""
    requests: list[tuple[int, int, Standing]] = []
    tokens: list[tuple[int, int, Standing]] = []
    for standing in standings:
        image = standing.image
        requests_left, tokens_left = spare(image, standing.limits, standing.at_s)
        if image.requests_limit is not None:
            requests.append((max(requests_left, 0), image.requests_limit, standing))
        if image.tokens_limit is not None:
            tokens.append((max(tokens_left, 0), image.tokens_limit, standing))
    return _headers("requests", requests) | _headers("tokens", tokens)


def _headers(unit: str, found: list[tuple[int, int, Standing]]) -> dict[str, str]:
    if not found:
        return {}
    remaining, limit, standing = min(found, key=lambda one: one[:2])
    reset_s = math.ceil((standing.image.window + 1) * WINDOW_S - standing.at_s)
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(remaining),
        f"x-ratelimit-reset-{unit}": f"{max(reset_s, 0)}s",
    }


def describe(scope: str) -> str:
    """A scope in words: `key/a/model/m` is key 'a' for model 'm'."""
    kind, _, rest = scope.partition("/")
    owner, _, model = rest.partition("/model/")
    whose = f"{_NAMES.get(kind, kind)} {owner!r}"
    return f"{whose} for model {model!r}" if model and kind == "key" else whose


def _usd(micro_usd: int) -> str:
    whole, rest = divmod(micro_usd, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest % 10_000 else f"{whole}.{rest // 10_000:02d}"
