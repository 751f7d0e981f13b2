"""The runtime: awslambdaric's loop, with answers that stream.

Three of awslambdaric's seams carry it: the handler it calls runs the app up to its first byte, the marshaller lets the
unfinished answer pass, and `post_invocation_result` sends it. Logging, init errors, the error endpoint, SnapStart and X-Ray
ids stay AWS's.
"""

import asyncio
import contextlib
import inspect
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from awslambdaric import bootstrap
from awslambdaric.lambda_config import LambdaConfigProvider
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from mangum import Mangum

from lambda_stream import protocol
from lambda_stream.asgi import App, AppExitError, Exchange
from lambda_stream.connection import ResponseConnection
from lambda_stream.events import read_request, require_http_event
from lambda_stream.hooks import after_response_work
from lambda_stream.loop import environment_loop

logger = logging.getLogger(__name__)

MODE_VARIABLE = "LAMBDA_STREAM_MODE"
_ENTRY = "lambda_stream.entry.handler"

Handler = Callable[[Any, Any], object]


class StreamMarshaller(LambdaMarshaller):  # type: ignore[misc]
    """JSON in, as awslambdaric reads it; an Exchange out passes through unchanged."""

    def unmarshal_request(self, request: bytes, content_type: str | None = "application/json") -> Any:
        try:
            # The standard library's decoder is twice as fast as simplejson on events with large bodies.
            return json.loads(request)
        except ValueError as error:
            raise FaultException(FaultException.UNMARSHAL_ERROR, f"the event is not JSON: {error}") from error

    def marshal_response(self, response: object) -> tuple[Any, str]:
        if isinstance(response, Exchange):
            return response, protocol.CONTENT_TYPE
        marshalled: tuple[Any, str] = super().marshal_response(response)
        return marshalled


class StreamingRuntimeClient(LambdaRuntimeClient):  # type: ignore[misc]
    """AWS's Runtime API client; answers that are an Exchange are streamed, and after-response work follows every answer."""

    marshaller = StreamMarshaller()

    def __init__(self, address: str, use_thread_for_polling_next: bool) -> None:
        super().__init__(address, use_thread_for_polling_next)
        if use_thread_for_polling_next:
            # awslambdaric starts a thread for every event, so that signals are handled while it waits; one kept thread does.
            waiting_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-invocation")
            self.ThreadPoolExecutor = lambda max_workers: contextlib.nullcontext(waiting_thread)
        self._loop = environment_loop()
        self._connection = ResponseConnection(address, self._loop)

    def post_invocation_result(
        self, invoke_id: str, result_data: object, content_type: str = "application/json", invocation_id: str | None = None
    ) -> None:
        # An exception from here would end the process: awslambdaric does not expect one.
        try:
            if isinstance(result_data, Exchange):
                self._deliver(result_data, invoke_id, invocation_id)
            else:
                super().post_invocation_result(invoke_id, result_data, content_type, invocation_id)
        except (Exception, SystemExit, asyncio.CancelledError):
            logger.exception("the response of invocation %s could not be delivered", invoke_id)
        self._finish_invocation()

    def _deliver(self, exchange: Exchange, invoke_id: str, invocation_id: str | None) -> None:
        try:
            self._loop.run_until_complete(exchange.deliver(self._connection, invoke_id, invocation_id))
        except BaseException:
            self._connection.close()
            exchange.abandon()
            raise

    def post_invocation_error(
        self, invoke_id: str, error_response_data: str, xray_fault: str, invocation_id: str | None = None
    ) -> None:
        fitting = protocol.fit_error_report(error_response_data)
        if fitting != error_response_data:
            xray_fault = ""
        super().post_invocation_error(invoke_id, fitting, xray_fault, invocation_id)
        self._finish_invocation()

    def _finish_invocation(self) -> None:
        if after_response_work.is_pending:
            try:
                self._loop.run_until_complete(after_response_work.run())
            except (Exception, SystemExit, asyncio.CancelledError):
                logger.exception("after-response work failed")
        after_response_work.end()


def streaming_handler(app: App) -> Handler:
    """What awslambdaric calls in mode `stream`: runs `app` up to its first byte and returns the unfinished answer."""
    loop = environment_loop()
    adapter = Mangum(app, lifespan="off")  # type: ignore[arg-type]  # its ASGI type insists on parameter names

    def handle(event: Any, context: Any) -> Exchange:
        after_response_work.begin()
        exchange = Exchange(app, read_request(adapter, event, context), loop)
        try:
            loop.run_until_complete(exchange.first_byte)
        except SystemExit as error:
            exchange.abandon()
            raise AppExitError(f"a task of the app raised {error!r}") from error
        exchange.check()
        return exchange

    return handle


def buffered_handler(app: App) -> Handler:
    """What awslambdaric calls in mode `buffered`: Mangum serves the whole request and returns the ordinary proxy JSON."""
    environment_loop()
    adapter = Mangum(app, lifespan="off")  # type: ignore[arg-type]

    def handle(event: Any, context: Any) -> dict[str, Any]:
        after_response_work.begin()
        return adapter(require_http_event(event), context)

    return handle


_MODES = {"stream": streaming_handler, "buffered": buffered_handler}


def load_handler(name: str, mode: str) -> Handler:
    """Import the ASGI app called `name` (module.attribute) and make it a handler in `mode` (stream or buffered).

    Raises awslambdaric's FaultException, which it reports as an init error.
    """
    if mode not in _MODES:
        raise FaultException("LambdaStream.UnknownMode", f"{MODE_VARIABLE} is {mode!r}; it may be {' or '.join(_MODES)}")
    environment_loop()
    # The one private name used: AWS's own reading of handler names, so that its error types and messages stay.
    app = bootstrap._get_handler(name)
    if not _is_asgi(app):
        raise FaultException(
            "LambdaStream.NotAnAsgiApp",
            f"{name} is not an ASGI app: it must be callable as app(scope, receive, send)",
        )
    return _MODES[mode](app)


def _is_asgi(app: object) -> bool:
    if not callable(app):
        return False
    try:
        inspect.signature(app).bind({}, None, None)
    except TypeError:
        return False
    return True


def main(argv: list[str]) -> None:
    """Serve invocations until the environment ends. `argv` is the program's name and the handler's."""
    if len(argv) != 2:
        raise SystemExit("usage: python -m lambda_stream module.attribute    (an ASGI app; see the README of lambda_stream)")
    config = LambdaConfigProvider(argv)
    if config.is_multi_concurrent:
        raise SystemExit("lambda_stream serves one invocation at a time: unset AWS_LAMBDA_MAX_CONCURRENCY")
    os.environ["_HANDLER"] = config.handler
    bootstrap.run(_ENTRY, StreamingRuntimeClient(config.api_address, config.use_thread_polling))
