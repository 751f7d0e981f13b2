"""The endpoints beside the text ones: embeddings, rankings, images, audio, moderations. One handler: the wire knows each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.tags import NO_TAGS
from pllm.edge.exchange import Exchange
from pllm.edge.generation import forwarded, permit, send_reply, wants_cost
from pllm.edge.http import HttpRequest
from pllm.edge.tags import header_tags
from pllm.pipeline import Call, Pipeline
from pllm.wire.lane import NativeCall

if TYPE_CHECKING:
    from pllm.wire.openai_media import MediaRequest

PATHS = (
    "embeddings",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "moderations",
    "rerank",
)

_FORM = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Media:
    """`POST /v1/<path>`. Answered by who speaks OpenAI's dialect; embeddings, rankings and new images by others too."""

    path: str
    pipeline: Pipeline

    async def __call__(self, exchange: Exchange) -> None:
        record = exchange.record
        asked, body, form_bytes = await _read(exchange.request, self.path)
        permit(exchange, asked.model)
        record.stream = asked.delivery != "whole"
        call = Call(
            dialect="chat",
            model=asked.model,
            body=body,
            stream=record.stream,
            record=record,
            forward=forwarded(exchange.request),
            deadline_s=exchange.deadline_s,
            native=_native(self.path, asked, body),
            form_bytes=form_bytes,
            limits=exchange.principal.limits,
            trace=exchange.trace,
            tags=header_tags(exchange) if self.pipeline.catalogue.tagged else NO_TAGS,
            cost_wanted=wants_cost(exchange.request),
        )
        await send_reply(exchange, await self.pipeline.run(call))


def _native(path: str, asked: "MediaRequest", body: JsonObject) -> NativeCall:
    """The call, with the providers of other dialects that can answer it; their wires are loaded by those who use them."""
    if path == "embeddings":
        from pllm.wire.embeddings import EmbeddingsCall

        return EmbeddingsCall(asked, body)
    if path == "rerank":
        from pllm.wire.rerank import RerankCall

        return RerankCall(asked, body)
    if path == "images/generations":
        from pllm.wire.images import ImagesCall

        return ImagesCall(asked, body)
    return asked


async def _read(request: HttpRequest, path: str) -> "tuple[MediaRequest, JsonObject, int]":
    """The request, with what tells its size: its JSON body, or the bytes of its form."""
    from pllm.wire.openai_media import ENDPOINTS, form_request, json_request  # loaded by those who use it

    endpoint = ENDPOINTS[path]
    content_types = request.all("content-type")
    if len(content_types) > 1:
        raise invalid("The Content-Type is given twice.")
    content_type = content_types[0] if content_types else ""
    is_form = content_type.lstrip().lower().startswith(_FORM)
    if endpoint.takes == "json" and is_form:
        raise invalid(f"/v1/{path} takes a JSON object, not {_FORM}.")
    if endpoint.takes == "form" and not is_form:
        raise invalid(f"/v1/{path} takes {_FORM}, not {content_type or 'a body without a Content-Type'}.")
    if is_form:
        form = await request.body()
        return form_request(endpoint, form, content_type), {}, len(form)
    body = await request.json_object()
    return json_request(endpoint, body), body, 0
