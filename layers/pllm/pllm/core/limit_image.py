"""A gate as it was last seen, and what follows from that: where it stands now, and what it would refuse.

An image is only ever a memory: the table decides, by a condition on the write. What is said here is how to ask, and how to
explain a refusal.
"""

from dataclasses import dataclass, replace

from pllm.core.limits import Epochs, GateLimits, LimitKind, Reservation, epochs

_WINDOW_MS = 60_000


@dataclass(frozen=True, slots=True)
class GateImage:
    """One gate item. A `*_limit` of None: that dimension is not limited. `*_before` is what the previous window used.

    Money is in micro-dollars. `held` is all that running requests hold, `held_now` what was taken in this generation and
    `held_before` in the one before; `parallel*` counts running requests in the same way. `warned`: the period of which it has
    been said that its budget is nearly spent.
    """

    window: int
    generation: int
    period: int
    requests_left: int = 0
    requests_limit: int | None = None
    requests_before: int = 0
    tokens_left: int = 0
    tokens_limit: int | None = None
    tokens_before: int = 0
    budget_left: int = 0
    budget_limit: int | None = None
    held: int = 0
    held_now: int = 0
    held_before: int = 0
    parallel_limit: int | None = None
    parallel: int = 0
    parallel_now: int = 0
    parallel_before: int = 0
    revoked: bool = False
    version: int = 0
    warned: int | None = None

    @property
    def nearly_spent(self) -> bool:
        """Whether it is to be said that less than a tenth of the budget is left. What running requests hold is not spent."""
        if self.budget_limit is None or self.warned == self.period:
            return False
        return 10 * (self.budget_left + self.held) < self.budget_limit

    @property
    def epochs(self) -> Epochs:
        return Epochs(self.window, self.generation, self.period)

    @property
    def holds(self) -> bool:
        """Whether a request holds something here while it runs."""
        return self.budget_limit is not None or self.parallel_limit is not None

    @property
    def counts_by_minute(self) -> bool:
        return self.requests_limit is not None or self.tokens_limit is not None


def new_image(limits: GateLimits, at: Epochs) -> GateImage:
    """A gate that nobody has used yet."""
    budget = limits.budget.micro_usd if limits.budget else None
    return GateImage(
        window=at.window,
        generation=at.generation,
        period=at.period,
        requests_left=limits.rpm or 0,
        requests_limit=limits.rpm,
        tokens_left=limits.tpm or 0,
        tokens_limit=limits.tpm,
        budget_left=budget or 0,
        budget_limit=budget,
        parallel_limit=limits.max_parallel,
        version=limits.version,
    )


def current_epochs(limits: GateLimits, now_s: float, image: GateImage | None) -> Epochs:
    """Labels only move forward: a slow clock joins the newer window that others have opened."""
    own = epochs(limits, now_s)
    if image is None:
        return own
    return Epochs(max(own.window, image.window), max(own.generation, image.generation), max(own.period, image.period))


def labels(image: GateImage, at: Epochs) -> Epochs:
    """Those of the epochs `at` that this gate keeps: one that holds nothing never moves to another generation or period."""
    return Epochs(
        at.window if image.counts_by_minute else image.window,
        at.generation if image.holds else image.generation,
        at.period if image.budget_limit is not None else image.period,
    )


def differs(image: GateImage, limits: GateLimits) -> bool:
    """Whether the gate enforces other limits than it should. Those of a newer configuration are left alone."""
    if limits.version < image.version:
        return False
    budget = limits.budget.micro_usd if limits.budget else None
    return (image.requests_limit, image.tokens_limit, image.parallel_limit, image.budget_limit) != (
        limits.rpm,
        limits.tpm,
        limits.max_parallel,
        budget,
    )


def measured(image: GateImage, need: Reservation) -> GateImage:
    """What of a gate a request is held against: all of it, or its requests alone, or all but what counts requests."""
    if need.further:
        return replace(image, requests_limit=None, parallel_limit=None)
    return replace(image, tokens_limit=None, budget_limit=None, parallel_limit=None) if need.only_counted else image


def rolled(image: GateImage, to: Epochs, *, strict: bool) -> GateImage:
    """The image as it would stand in the epochs `to`, had the gate been moved there. `strict`: dead holds are spent."""
    return _to_period(_to_generation(_to_window(image, to.window), to.generation, strict), to.period)


def _to_window(image: GateImage, window: int) -> GateImage:
    if image.window >= window:
        return image
    adjacent = image.window == window - 1
    return replace(
        image,
        window=window,
        requests_before=(image.requests_limit or 0) - image.requests_left if adjacent else 0,
        requests_left=image.requests_limit or 0,
        tokens_before=(image.tokens_limit or 0) - image.tokens_left if adjacent else 0,
        tokens_left=image.tokens_limit or 0,
    )


def _to_generation(image: GateImage, generation: int, strict: bool) -> GateImage:
    if image.generation >= generation:
        return image
    alone = image.generation == generation - 1  # one step: what was taken last may still be alive
    dead = image.held_before if alone else image.held
    return replace(
        image,
        generation=generation,
        budget_left=image.budget_left + (0 if strict else dead),
        held=image.held - dead,
        held_before=image.held_now if alone else 0,
        held_now=0,
        parallel=image.parallel - (image.parallel_before if alone else image.parallel),
        parallel_before=image.parallel_now if alone else 0,
        parallel_now=0,
    )


def _to_period(image: GateImage, period: int) -> GateImage:
    if image.period >= period or image.budget_limit is None:
        return image
    return replace(image, period=period, budget_left=image.budget_limit - image.held)


# --- Refusals ------------------------------------------------------------------------------------------------------


def carried(before: int, window: int, now_s: float) -> int:
    """How much of the previous window still weighs: its use, fading over the minute. Rounded down."""
    elapsed_ms = min(max(int(now_s * 1000) - window * _WINDOW_MS, 0), _WINDOW_MS)
    return before * (_WINDOW_MS - elapsed_ms) // _WINDOW_MS


def spare(image: GateImage, limits: GateLimits, now_s: float) -> tuple[int, int]:
    """Requests and tokens that may still be admitted in this window; meaningful where they are limited."""
    if not limits.sliding:
        return image.requests_left, image.tokens_left
    return (
        image.requests_left - carried(image.requests_before, image.window, now_s),
        image.tokens_left - carried(image.tokens_before, image.window, now_s),
    )


def shortage(image: GateImage, limits: GateLimits, need: Reservation, now_s: float) -> LimitKind | None:
    """What one request would be refused for by a gate that is up to date, None where it would pass."""
    requests, tokens = spare(image, limits, now_s)
    image = measured(image, need)
    if image.revoked:
        return LimitKind.REVOKED
    if image.budget_limit is not None and image.budget_left < need.micro_usd:
        return LimitKind.BUDGET
    if image.requests_limit is not None and requests < 1:
        return LimitKind.REQUESTS
    if image.tokens_limit is not None and tokens < need.tokens:
        return LimitKind.TOKENS
    if image.parallel_limit is not None and image.parallel >= image.parallel_limit:
        return LimitKind.PARALLEL
    return None
