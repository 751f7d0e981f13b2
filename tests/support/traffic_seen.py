"""What the clients of a known traffic saw, counted from statuses, headers and bodies alone."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

TOLD = 2
"""Tokens of an answer that its provider had told when it broke."""


@dataclass
class Seen:
    """What clients saw, by what a metric would call it. `accounts`: by caller, model, deployment and what a page of usage
    would call it."""

    numbers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    models: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    accounts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    @property
    def callers(self) -> set[str]:
        return {caller for caller, _, _, _ in self.accounts}

    def used(self, *, caller: str = "", model: str = "", deployment: str | None = None) -> Counter[str]:
        """Sums of `accounts` by what they are called. A deployment named "" is none at all."""
        found: Counter[str] = Counter()
        for (by, of, at, name), number in self.accounts.items():
            if caller in ("", by) and model in ("", of) and deployment in (None, at):
                found[name] += number
        return found


def note(seen: Seen, kind: str, caller: str, model: str, answer: httpx2.Response) -> None:
    """One answer. `kind`: what was asked for, one of the traffic's kinds."""
    numbers, status = seen.numbers, answer.status_code
    numbers["Requests"] += 1
    numbers["Errors"] += status != 200 or kind == "cut"
    numbers["Faults"] += status >= 500 or kind == "cut"
    numbers["StreamBroken"] += kind == "cut"
    numbers["EstimatedRequests"] += kind == "cut"
    numbers["AuthFailed"] += status == 401
    seen.statuses["unknown" if kind == "stranger" else "chat", status] += 1
    if kind in ("unknown", "stranger"):
        return
    seen.models[model, answer.headers.get("x-pllm-provider", ""), status] += 1
    counted = _spent_on(answer, kind)
    for name, number in counted.items():
        seen.accounts[caller, model, answer.headers.get("x-pllm-deployment", ""), name] += number
    if kind == "limited":
        numbers["BudgetExceeded" if answer.json()["error"]["code"] == "insufficient_quota" else "RateLimited"] += 1
        return
    more = max(int(answer.headers.get("x-pllm-attempts", "1")) - 1, 0)
    numbers["Retries"] += more
    numbers["Fallbacks"] += more if status == 200 else 0
    numbers["PromptTokens"] += counted["prompt_tokens"]
    numbers["CompletionTokens"] += counted["completion_tokens"]
    numbers["CachedTokens"] += counted["cached_tokens"]
    numbers["micro_usd"] += counted["cost_micro_usd"]
    numbers["estimated_micro_usd"] += counted["cost_micro_usd"] if kind == "cut" else 0


def _spent_on(answer: httpx2.Response, kind: str) -> dict[str, int]:
    """What one answer adds to its caller's usage, worked out from its own words."""
    usage = _usage(answer) if answer.status_code == 200 else {}
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    if kind == "cut":  # it told its prompt, and its answer so far; docs/usage.md says what is added
        prompt, completion, cached = 13, TOLD + 32, 4
    return {
        "requests": 1,
        "errors": int(answer.status_code != 200 or kind == "cut"),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "cost_micro_usd": -(-(2 * (prompt - cached) + cached + 6 * completion) // 2),
    }


def _usage(answer: httpx2.Response) -> dict[str, Any]:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        found: dict[str, Any] = answer.json()["usage"]
        return found
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return next((usage for event in reversed(events) if (usage := json.loads(event).get("usage"))), {})
