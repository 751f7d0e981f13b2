"""/v1/responses: create, continue and store. What is stored is kept in our own table: any upstream can be continued.

The Responses wire is imported where it is used: it is 18 modules, and most cold starts are for other dialects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.edge.exchange import Exchange
from pllm.edge.generation import Generation
from pllm.edge.http import path_parameter
from pllm.state.answers import KEPT_S, AnswerTooLargeError, StoredAnswers
from pllm.state.store import StateError
from pllm.telemetry.log import Emit

if TYPE_CHECKING:
    from pllm.wire.openai_responses import StoredResponse

_PREFIX = "/v1/responses/"


@dataclass(frozen=True, slots=True)
class Responses:
    """`answers` is None where there is no table: then nothing is stored, and asking for it is a 400."""

    generation: Generation
    answers: StoredAnswers | None
    clock: Clock
    emit: Emit

    async def create(self, exchange: Exchange) -> None:
        from pllm.wire.openai_responses import to_store

        body = await self._prepared(await exchange.request.json_object(), exchange)
        reply = await self.generation.answer(exchange, body)
        stored = to_store(body, reply.final() if reply.final else None, int(self.clock.wall_s()) + KEPT_S)
        if stored is not None and self.answers is not None:
            await self._keep(self.answers, stored, exchange)

    async def get(self, exchange: Exchange) -> None:
        from pllm.wire.openai_responses import input_page

        name, _, part = path_parameter(exchange.path, _PREFIX).partition("/")
        stored = await self._found(name, exchange)
        if part == "input_items":
            await exchange.answer_json(input_page(stored))
        elif part:
            raise _not_found(f"{name}/{part}")
        else:
            await exchange.answer_json(dumps(stored.response))

    async def delete(self, exchange: Exchange) -> None:
        from pllm.wire.openai_responses import deletion

        name = path_parameter(exchange.path, _PREFIX)
        try:
            gone = self.answers and await self.answers.delete(name, exchange.principal.id, self.clock.wall_s())
        except StateError as error:
            raise _unreachable(error) from None
        if not gone:
            raise _not_found(name)
        await exchange.answer_json(deletion(name))

    async def _prepared(self, body: JsonObject, exchange: Exchange) -> JsonObject:
        """The body with its history in front. Without a table the answer says `store: false`, because it is so."""
        previous = body.get("previous_response_id")
        if previous is not None and not isinstance(previous, str):
            raise invalid("'previous_response_id' must be a string.", "previous_response_id")
        if self.answers is None:
            if body.get("store") is True:
                raise invalid("'store' needs the gateway's table, and there is none (PLLM_TABLE).", "store")
            return {**body, "store": False}
        if previous is None:
            return body
        from pllm.wire.openai_responses import with_history

        stored = await self._stored(self.answers, previous, exchange)
        return body if stored is None else with_history(body, stored.items)

    async def _stored(self, answers: StoredAnswers, name: str, exchange: Exchange) -> StoredResponse | None:
        try:
            return await answers.get(name, exchange.principal.id, self.clock.wall_s())
        except StateError as error:
            raise _unreachable(error) from None

    async def _found(self, name: str, exchange: Exchange) -> StoredResponse:
        stored = await self._stored(self.answers, name, exchange) if self.answers is not None else None
        if stored is None:
            raise _not_found(name)
        return stored

    async def _keep(self, answers: StoredAnswers, stored: StoredResponse, exchange: Exchange) -> None:
        """After the last byte: a failure can only be logged, and a later `previous_response_id` says that it was lost."""
        try:
            await answers.put(stored, exchange.principal.id)
        except (StateError, AnswerTooLargeError) as error:
            self.emit(
                {
                    "level": "WARN",
                    "message": "response not stored",
                    "response_id": stored.id,
                    "why": f"{type(error).__name__}: {error}",
                    "request_id": exchange.record.request_id,
                }
            )


def _not_found(name: str) -> GatewayError:
    return GatewayError(ErrorKind.NOT_FOUND, f"Response with id {name!r} not found.")


def _unreachable(error: StateError) -> GatewayError:
    return GatewayError(ErrorKind.UNAVAILABLE, f"Stored responses cannot be read now ({error.reason}).", retry_after_s=2)
