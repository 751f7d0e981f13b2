"""A deployment's configured defaults, put into a neutral request where the client was silent.

Defaults are spelt as OpenAI Chat spells them (`Target.defaults`), because that is how configurations are written. Whatever
has no neutral form lands in `extras`, for the upstream wire to pass on or refuse like a client's own field.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pllm.core.errors import GatewayError, invalid
from pllm.wire.neutral import Reasoning, Request, ResponseFormat

_T = TypeVar("_T")

_CAPS = ("max_completion_tokens", "max_tokens")


def with_defaults(request: Request, defaults: Mapping[str, Any]) -> Request:
    """`request` with every silent field filled. Raises GatewayError(400) for a default of the wrong type."""
    for name, value in defaults.items():
        if value is not None:
            request = _fill(request, name, value)
    return request


def _fill(request: Request, name: str, value: Any) -> Request:
    filler = _FILLERS.get(name)
    if filler is not None:
        return filler(request, value)
    return request if name in request.extras else replace(request, extras={**request.extras, name: value})


def _cap(request: Request, value: Any) -> Request:
    if request.max_tokens is not None:
        return request
    return replace(request, max_tokens=_checked("max_tokens", value, int))


def _reasoning(request: Request, value: Any) -> Request:
    if request.reasoning is not None:
        return request
    return replace(request, reasoning=Reasoning(effort=_checked("reasoning_effort", value, str)))


def _stop(request: Request, value: Any) -> Request:
    if request.stop:
        return request
    listed = [value] if isinstance(value, str) else _checked("stop", value, list)
    return replace(request, stop=tuple(_checked("stop", item, str) for item in listed))


def _response_format(request: Request, value: Any) -> Request:
    if request.response_format is not None:
        return request
    given = _checked("response_format", value, dict)
    match given.get("type"):
        case "text" | "json_object" as kind:
            return replace(request, response_format=ResponseFormat(kind))
        case "json_schema":
            spec = _checked("response_format.json_schema", given.get("json_schema"), dict)
            schema = _checked("response_format.json_schema.schema", spec.get("schema"), dict)
            wanted = ResponseFormat("json_schema", schema, spec.get("name"), spec.get("description"), spec.get("strict"))
            return replace(request, response_format=wanted)
        case other:
            raise _wrong("response_format.type", other, "text, json_object or json_schema")


def _n(request: Request, value: Any) -> Request:
    return request if request.n != 1 else replace(request, n=_checked("n", value, int))


# Plain fields have the same name and the same form in both spellings.
def _plain(name: str, *kinds: type) -> Callable[[Request, Any], Request]:
    def fill(request: Request, value: Any) -> Request:
        if getattr(request, name) is not None:
            return request
        if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
            raise _wrong(name, value, " or ".join(kind.__name__ for kind in kinds))
        changed: dict[str, Any] = {name: value}
        return replace(request, **changed)

    return fill


_FILLERS: Mapping[str, Callable[[Request, Any], Request]] = {
    **dict.fromkeys(_CAPS, _cap),
    "reasoning_effort": _reasoning,
    "stop": _stop,
    "response_format": _response_format,
    "n": _n,
    "temperature": _plain("temperature", float, int),
    "top_p": _plain("top_p", float, int),
    "top_k": _plain("top_k", int),
    "seed": _plain("seed", int),
    "presence_penalty": _plain("presence_penalty", float, int),
    "frequency_penalty": _plain("frequency_penalty", float, int),
    "logit_bias": _plain("logit_bias", dict),
    "logprobs": _plain("logprobs", bool),
    "top_logprobs": _plain("top_logprobs", int),
    "parallel_tool_calls": _plain("parallel_tool_calls", bool),
    "verbosity": _plain("verbosity", str),
    "service_tier": _plain("service_tier", str),
    "user": _plain("user", str),
    "metadata": _plain("metadata", dict),
}


def _checked(name: str, value: Any, kind: type[_T]) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(name, value, kind.__name__)
    return value


def _wrong(name: str, value: Any, wanted: str) -> GatewayError:
    return invalid(f"The configured default {name!r} must be {wanted}, not {type(value).__name__} {value!r}.", name)
