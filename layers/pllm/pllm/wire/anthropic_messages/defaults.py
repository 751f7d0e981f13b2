"""A deployment's configured defaults, laid under a neutral request where the client is silent."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pllm.core.errors import invalid
from pllm.wire.neutral import Reasoning, Request

_SPELLINGS = {"max_completion_tokens": "max_tokens", "stop_sequences": "stop", "reasoning_effort": "reasoning"}

_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "reasoning": lambda value: Reasoning(effort=str(value)),
    "stop": lambda value: (value,) if isinstance(value, str) else tuple(value),
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "top_k": int,
}

_FIELDS = frozenset(_CONVERT) | {
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "verbosity",
    "service_tier",
    "user",
}


def with_defaults(request: Request, defaults: Mapping[str, Any]) -> tuple[Request, frozenset[str]]:
    """The request with `defaults` (OpenAI Chat's spelling) filled in, and the names of those that were used.

    A field the neutral form does not know becomes an extra. Raises GatewayError(400) for a value of the wrong kind.
    """
    used: set[str] = set()
    for spelled, value in defaults.items():
        name = _SPELLINGS.get(spelled, spelled)
        if name not in _FIELDS:
            if spelled not in request.extras:
                request = replace(request, extras={**request.extras, spelled: value})
                used.add(spelled)
        elif getattr(request, name) in (None, ()):
            request = _filled(request, name, spelled, value)
            used.add(spelled)
    return request, frozenset(used)


def _filled(request: Request, name: str, spelled: str, value: Any) -> Request:
    try:
        converted = _CONVERT[name](value) if name in _CONVERT else value
    except (TypeError, ValueError):
        raise invalid(f"The configured default of {spelled!r} is not a legal value: {value!r}.", spelled) from None
    changes: dict[str, Any] = {name: converted}
    return replace(request, **changes)
