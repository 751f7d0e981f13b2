"""POST /v1/messages/count_tokens."""

from dataclasses import dataclass

from pllm.core.tags import NO_TAGS
from pllm.edge.exchange import Exchange
from pllm.edge.generation import forwarded, model_of, permit, send_reply
from pllm.edge.tags import header_tags
from pllm.pipeline import Call, Pipeline


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Counts what a Messages request would have, whoever would answer it."""

    pipeline: Pipeline

    async def __call__(self, exchange: Exchange) -> None:
        from pllm.counting import TokenCounting  # loaded by those who count: not for the cold start

        body = await exchange.request.json_object()
        call = Call(
            dialect="messages",
            model=model_of(body),
            body=body,
            stream=False,
            record=exchange.record,
            forward=forwarded(exchange.request),
            deadline_s=exchange.deadline_s,
            limits=exchange.principal.limits,
            trace=exchange.trace,
            tags=header_tags(exchange) if self.pipeline.catalogue.tagged else NO_TAGS,
        )
        permit(exchange, call.model)
        await send_reply(exchange, await TokenCounting(self.pipeline).run(call))
