"""The endpoints that generate: one handler, since a dialect is a parameter and the pipeline does the rest."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.core.tags import NO_TAGS
from pllm.edge.event_stream import send_pieces
from pllm.edge.exchange import Exchange
from pllm.edge.http import HttpRequest, send_bytes, send_whole
from pllm.edge.tags import tags_and_body
from pllm.pipeline import Call, Pipeline, Reply

if TYPE_CHECKING:
    from pllm.core.request_trace import Conversation

# Sent on when the upstream speaks the client's own dialect: they select behaviour of the provider's API.
_FORWARDED = ("anthropic-beta", "anthropic-version", "openai-beta")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_INCLUDE = "x-pllm-include"


@dataclass(frozen=True, slots=True)
class Generation:
    """`POST /v1/<something>` in one client dialect."""

    dialect: str
    pipeline: Pipeline

    async def __call__(self, exchange: Exchange) -> None:
        await self.answer(exchange, await exchange.request.json_object())

    async def answer(self, exchange: Exchange, body: JsonObject) -> Reply:
        """Runs one request and sends its answer; the reply is given for what is to be known of it afterwards."""
        record, tags = exchange.record, NO_TAGS
        if self.pipeline.catalogue.tagged:
            tags, body = tags_and_body(exchange, body)
        call = Call(
            dialect=self.dialect,
            model=model_of(body),
            body=body,
            stream=_wants_stream(body),
            record=record,
            forward=forwarded(exchange.request),
            deadline_s=exchange.deadline_s,
            limits=exchange.principal.limits,
            trace=exchange.trace,
            tags=tags,
            cost_wanted=wants_cost(exchange.request),
        )
        permit(exchange, call.model)
        record.stream = call.stream
        heard = exchange.trace.conversation if exchange.trace is not None else None
        if heard is not None:
            heard.dialect, heard.asked = self.dialect, body
        reply = await self.pipeline.run(call)
        await send_reply(exchange, reply if heard is None else _overheard(reply, heard))
        return reply


def _overheard(reply: Reply, heard: "Conversation") -> Reply:
    """The same reply, what is sent of it kept for the trace."""
    heard.final = reply.final
    if reply.pieces is None:
        heard.hear(reply.body)
        return reply
    heard.streamed = True
    return replace(reply, pieces=_kept(reply.pieces, heard))


async def _kept(pieces: AsyncGenerator[bytes], heard: "Conversation") -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            heard.hear(piece)
            yield piece


def forwarded(request: HttpRequest) -> dict[str, str]:
    """The client's headers that travel along to an upstream of its own dialect. Raises a 400 for what none could carry: that
    it was not sent would count against every deployment."""
    found = {name: ",".join(values) for name in _FORWARDED if (values := request.all(name))}
    for name, value in found.items():
        if _CONTROL.search(value):
            raise invalid(f"The header {name!r} has control characters in it.", name)
    return found


def wants_cost(request: HttpRequest) -> bool:
    """Whether a stream is to say what it cost: headers come too early for it. Raises a 400 for a wish that there is not."""
    wanted = {name.strip() for value in request.all(_INCLUDE) for name in value.split(",")} - {""}
    if unknown := sorted(wanted - {"cost"}):
        raise invalid(f"{_INCLUDE!r} may name 'cost', and not {unknown[0]!r}.", _INCLUDE)
    return bool(wanted)


def permit(exchange: Exchange, model: str) -> None:
    """Raises a 403 for a model that the caller's key may not use."""
    if not exchange.principal.may_use(model):
        raise GatewayError(ErrorKind.PERMISSION, f"This key may not use the model {model!r}.", param="model")


async def send_reply(exchange: Exchange, reply: Reply) -> None:
    """Sends a reply and closes it, however that ends."""
    exchange.record.status = 200
    try:
        await _send(exchange, reply)
    finally:
        if reply.close is not None:
            await reply.close()


async def _send(exchange: Exchange, reply: Reply) -> None:
    headers = [("content-type", reply.content_type), ("x-request-id", exchange.record.request_id), *reply.headers.items()]
    if reply.pieces is None:
        await send_whole(exchange.send, 200, headers, reply.body)
    else:
        send = send_pieces if reply.content_type.startswith("text/event-stream") else send_bytes
        await send(exchange.send, [*headers, ("cache-control", "no-cache")], reply.pieces)


def model_of(body: JsonObject) -> str:
    """The model that a body asks for. Raises a 400 when it names none."""
    model = body.get("model")
    if model is None:
        raise invalid("'model' is missing: name the model to use. GET /v1/models lists them.", "model")
    if not isinstance(model, str) or not model:
        raise invalid("'model' must be a non-empty string.", "model")
    return model


def _wants_stream(body: JsonObject) -> bool:
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise invalid("'stream' must be true or false.", "stream")
    return bool(stream)


async def not_offered(exchange: Exchange) -> None:
    """The OpenAI APIs that this gateway leaves out, and says so."""
    raise GatewayError(
        ErrorKind.NOT_IMPLEMENTED,
        f"{exchange.path} is not offered by this gateway: realtime sockets, fine-tuning, assistants, files and batches "
        "need a server that outlives a request.",
    )
