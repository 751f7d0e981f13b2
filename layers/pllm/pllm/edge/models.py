"""GET /v1/models and /v1/models/{id}: the names a caller may ask for."""

from dataclasses import dataclass, fields
from typing import Any

from pllm.core.jsontext import dumps
from pllm.core.profile import ModelProfile, Prices
from pllm.core.routing import Catalogue
from pllm.edge.exchange import Exchange
from pllm.edge.generation import permit
from pllm.edge.http import path_parameter

_NOT_PRICES = ("version", "long_context_over")


@dataclass(frozen=True, slots=True)
class Models:
    """`created_s`: when the configuration was made, epoch seconds; OpenAI's SDK wants one on every model."""

    catalogue: Catalogue
    created_s: int

    async def listing(self, exchange: Exchange) -> None:
        """OpenAI's list object, less the names the caller may not use."""
        names = [name for name in self.catalogue.names() if exchange.principal.may_use(name)]
        await exchange.answer_json(dumps({"object": "list", "data": [self._entry(name) for name in names]}))

    async def one(self, exchange: Exchange) -> None:
        """OpenAI's model object; 404 for a name that does not exist, 403 for one that is not the caller's, whether it
        exists or not: what the list does not show is not to be guessed here."""
        name = path_parameter(exchange.path, "/v1/models/")
        permit(exchange, name)
        self.catalogue.resolve(name)
        await exchange.answer_json(dumps(self._entry(name)))

    def _entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": name, "object": "model", "created": self.created_s}
        deployments = self.catalogue.models.get(name)
        if deployments is None:
            kind = "route_of" if name in self.catalogue.routes else "alias_of"
            return entry | {"owned_by": "pllm", kind: list(self.catalogue.resolve(name))}
        profile = deployments[0].profile
        facts = {
            "mode": profile.mode,
            "max_input_tokens": profile.max_input_tokens,
            "max_output_tokens": profile.max_output_tokens,
            "capabilities": _capabilities(profile) if profile.known else None,
            "pricing": _pricing(profile.prices),
        }
        return entry | {"owned_by": deployments[0].provider} | {k: v for k, v in facts.items() if v is not None}


def _capabilities(profile: ModelProfile) -> dict[str, Any]:
    """What a known model can do; of an unknown one nothing is claimed."""
    return {
        "input_modalities": sorted(profile.modalities),
        "tools": profile.supports_tools,
        "structured_output": profile.structured_output,
        "thinking": profile.thinking,
        "prompt_cache_marks": profile.supports_cache_marks,
        "assistant_prefill": profile.supports_prefill,
        "unsupported_parameters": sorted(profile.refused_params),
    }


def _pricing(prices: Prices) -> dict[str, Any] | None:
    """The prices that are known, in USD for a million tokens (or characters), one image, second or search unit.
    None without any."""
    known = {item.name: getattr(prices, item.name) for item in fields(prices) if item.name not in _NOT_PRICES}
    usd = {name.removesuffix("_micro_usd"): price / 1_000_000 for name, price in known.items() if price is not None}
    if not usd:
        return None
    threshold = {} if prices.long_context_over is None else {"long_context_over": prices.long_context_over}
    return {"currency": "USD", "version": prices.version, **usd, **threshold}
