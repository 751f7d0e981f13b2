"""What an unknown key was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

from pllm.core.config.model_entry import ModelEntry, ModelInfo, Params
from pllm.core.config.schema import Config, Router
from pllm.core.config.section import Section

# Names from the Go gateway's file and from other gateways' files, with what holds their place here.
_FOREIGN = {
    "litellm_params": "the key is 'params'",
    "litellm_settings": "the section is 'router'",
    "router_settings": "the section is 'router'",
    "general_settings": "the sections are 'auth', 'limits' and 'logging'",
    "base_url": "the key is 'api_base'",
    "org_id": "the key is 'organization'",
    "project_id": "the key is 'project'",
    "vertex_project": "the key is 'project'",
    "vertex_location": "the key is 'location'",
    "aws_region_name": "the key is 'region'",
    "extra_headers": "the key is 'headers'",
    "custom_headers": "the key is 'params.headers'",
    "custom_llm_provider": "the key is 'provider'",
    "instance_name": "the key is 'id'",
    "num_retries": "the key is 'retries'",
    "max_retries": "retries are set once, as 'router.retries'",
    "instance_retry_attempts": "the key is 'retries'",
    "cooldown_period": "the key is 'router.circuit_breaker.cooldown'",
    "cooldown_time": "the key is 'circuit_breaker.cooldown'",
    "allowed_failures": "the key is 'circuit_breaker.min_failures'",
    "allowed_fails": "the key is 'circuit_breaker.min_failures'",
    "default_timeout": "a timeout is set for each model, as 'model_list[].timeout'",
    "request_timeout": "the key is 'timeout'",
    "model_fallbacks": "the key is 'fallbacks', with a list for each model",
    "model_group_alias": "the key is 'model_aliases', at the top",
    "max_parallel_requests": "the key is 'max_parallel'",
    "max_budget": "the key is 'budgets'",
    "api_secret": "the key is 'aws_secret_access_key'",
    "stream": "whether to stream is the client's choice",
    "messages": "messages come from the client",
    "database": "state lives in the DynamoDB table of the template: leave the section out",
    "redis": "state lives in the DynamoDB table of the template: leave the section out",
    "server": "the address is API Gateway's, or `pllm local --port`: leave the section out",
    "jwt": "tokens are set up under 'auth.oidc'",
    "dex": "tokens are set up under 'auth.oidc'",
    "require_auth": "every call is authenticated: leave the key out",
    "admin": "the administrator's credential is 'auth.master_key'",
    "enable_load_balancing": "entries of one model_name are always balanced: leave the key out",
    "enable_failover": "leave the key out; fallbacks are listed under 'fallbacks'",
    "health_check_interval": "deployments are probed by schedule: leave the key out",
    "supports_streaming": "every model streams: leave the key out",
    "namespace": "the namespace of metrics is the template's: deploy with MetricsNamespace=..., and leave the key out",
    "firehose_stream": "rows are exported by the template: deploy with RequestExport=on, and leave the key out",
}

_HOMES: tuple[tuple[type[Section], str], ...] = (
    (Params, "model_list[].params"),
    (ModelEntry, "model_list[]"),
    (ModelInfo, "model_list[].model_info"),
    (Router, "router"),
    (Config, "the top of the file"),
)


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that a misspelt word most resembles, or None."""
    folded = {_folded(name): name for name in names}
    near = get_close_matches(_folded(word), folded, n=3, cutoff=0.6)
    # Swapped letters are the commonest slip, and difflib does not know them from others.
    swapped = next((candidate for candidate in near if sorted(candidate) == sorted(_folded(word))), None)
    return folded[swapped or near[0]] if near else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")


def did_you_mean(word: str, names: Iterable[str]) -> str:
    found = nearest(word, names)
    return f"did you mean '{found}'?" if found else ""


def suggest_key(word: str, cls: type[Section]) -> str:
    """What to write instead of an unknown key in a section of this class."""
    names = tuple(cls.__dataclass_fields__)
    folded = _folded(word)
    if folded in names:
        return f"did you mean '{folded}'?"
    if folded in _FOREIGN:
        return _FOREIGN[folded]
    for home, place in _HOMES:
        if home is not cls and folded in home.__dataclass_fields__:
            return f"it belongs under {place}"
    return did_you_mean(word, names) or f"known here: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
