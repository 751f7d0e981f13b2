"""GET /v1/models and /v1/models/{id}: the names a caller may ask for."""

from dataclasses import dataclass
from typing import Any

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import dumps
from pllm.core.routing import Catalogue
from pllm.edge.exchange import Exchange
from pllm.edge.http import path_parameter


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
        """OpenAI's model object; 404 for a name that does not exist, 403 for one that is not the caller's."""
        name = path_parameter(exchange.path, "/v1/models/")
        self.catalogue.resolve(name)
        if not exchange.principal.may_use(name):
            raise GatewayError(ErrorKind.PERMISSION, f"This key may not use the model {name!r}.", param="model")
        await exchange.answer_json(dumps(self._entry(name)))

    def _entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": name, "object": "model", "created": self.created_s}
        deployments = self.catalogue.models.get(name)
        if deployments is None:
            return entry | {"owned_by": "pllm", "alias_of": list(self.catalogue.aliases[name])}
        profile = deployments[0].profile
        facts = {
            "mode": profile.mode,
            "max_input_tokens": profile.max_input_tokens,
            "max_output_tokens": profile.max_output_tokens,
        }
        return entry | {"owned_by": deployments[0].provider} | {k: v for k, v in facts.items() if v is not None}
