"""What is known of one request when it is over: the source of its log line, its metrics and, later, its bill.

It holds names and numbers only. There is no field a prompt, an answer or a credential could be put in.
"""

from dataclasses import dataclass, field, fields

from pllm.core.errors import ErrorKind
from pllm.core.pricing import Used
from pllm.core.profile import Prices

_UNPRICED = Prices()
LIMITS = frozenset({ErrorKind.RATE_LIMITED.value, ErrorKind.BUDGET_EXCEEDED.value})
"""The errors of limits and budgets: ours, where nothing was asked of a provider."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An attempt whose place another one took, and what it used all the same: as its provider told or, `estimated`, at most.
    The fields are RequestRecord's."""

    deployment: str
    provider: str
    upstream_model: str
    prices: Prices
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    images: int
    audio_seconds: float
    characters: int
    used: Used
    cost_micro_usd: int | None
    estimated: bool


@dataclass(slots=True)
class RequestRecord:
    """Filled while the request runs; the one mutable value of the data plane, owned by its pipeline run.

    Times are monotonic seconds of the injected clock; tokens as in wire.neutral.Usage. `prices` are the
    answering deployment's; `used` has every unit of its answer; `cost_micro_usd` is None as long as the cost is not
    known. `estimated`: its provider did not say (all of) what it used. `billable`: the attempt may have been billed, and its
    provider has not said for what. `abandoned`: what attempts before, or beside, used; the other fields are of the last one.
    `stopped`: a limit of ours refused a further attempt. `degraded`: shared state was out of reach.
    `idempotent`: "replayed" where a kept answer was given again.
    auth_s, admit_s, route_s, translate_s: what the parts of the overhead took. `trace_id` as X-Ray spells it, "" without one;
    `platform_trace_id`: AWS's own, where the client brought another.
    """

    request_id: str
    endpoint: str
    started_s: float
    model: str = ""
    principal: str = ""
    team: str = ""
    stream: bool = False
    deployment: str = ""
    provider: str = ""
    upstream_model: str = ""
    prices: Prices = _UNPRICED
    attempts: int = 0
    failed: list[str] = field(default_factory=list)
    status: int = 0
    error: str = ""
    broken: bool = False
    finish: str = ""
    upstream_s: float = 0.0
    first_event_s: float | None = None
    ended_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    images: int = 0
    audio_seconds: float = 0.0
    characters: int = 0
    used: Used | None = None
    cost_micro_usd: int | None = None
    estimated: bool = False
    billable: bool = False
    abandoned: list[Abandoned] = field(default_factory=list)
    stopped: bool = False
    dropped: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    cold_start: bool = False
    client_gone: bool = False
    idempotent: str = ""
    degraded: bool = False
    auth_s: float = 0.0
    admit_s: float = 0.0
    route_s: float = 0.0
    translate_s: float = 0.0
    trace_id: str = ""
    platform_trace_id: str = ""

    def adopt(self, attempt: "RequestRecord") -> None:
        """Take over what an attempt on a record of its own has found out."""
        for name in _OF_AN_ATTEMPT:
            setattr(self, name, getattr(attempt, name))

    def abandon(self, attempt: "RequestRecord") -> None:
        """What an attempt used that gives no answer any more is its own affair from here on: an account of its own."""
        if attempt.used is not None:
            named = {item.name: getattr(attempt, item.name) for item in fields(Abandoned)}
            self.abandoned.append(Abandoned(**named))
        for name, blank in _NOTHING_USED.items():
            setattr(attempt, name, blank)

    @property
    def latency_ms(self) -> float:
        return (self.ended_s - self.started_s) * 1000

    @property
    def overhead_ms(self) -> float:
        """Everything that was not spent waiting for the upstream."""
        return max(self.latency_ms - self.upstream_s * 1000, 0.0)

    @property
    def limited(self) -> bool:
        """Whether a limit or a budget of ours refused it: a provider's own 429 comes of an attempt."""
        return self.error in LIMITS and (self.stopped or not self.attempts)

    @property
    def faulty(self) -> bool:
        """Whether it failed by no fault of its caller."""
        return self.status >= 500 or self.broken

    @property
    def fallbacks(self) -> int:
        """How many attempts failed of a request that was answered all the same."""
        return 0 if self.error else len(self.failed)

    @property
    def retries(self) -> int:
        return max(self.attempts - 1, 0)

    @property
    def ttft_ms(self) -> float | None:
        return None if self.first_event_s is None else (self.first_event_s - self.started_s) * 1000


_OF_AN_ATTEMPT = (
    *("deployment", "provider", "upstream_model", "prices", "error", "broken", "finish", "upstream_s", "first_event_s"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "images", "audio_seconds", "characters"),
    *("used", "cost_micro_usd", "estimated", "billable", "dropped", "emulated", "translate_s"),
)
_USE = (
    *("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "images", "audio_seconds", "characters"),
    *("used", "cost_micro_usd", "estimated", "billable"),
)
_NOTHING_USED = {item.name: item.default for item in fields(RequestRecord) if item.name in _USE}
