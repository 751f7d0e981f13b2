"""The HTTP side: API Gateway's part. Requests in, events out; answers relayed as they come."""

import asyncio
import logging
import re
import uuid
from collections.abc import Mapping, Sequence

from aiohttp import web
from multidict import CIMultiDict

from lambda_stream.local.pool import EnvironmentPool
from lambda_stream.local.replies import (
    BufferedReply,
    HeaderList,
    InvocationFailedError,
    StreamBrokenError,
    StreamedReply,
    ThrottledError,
)
from lambda_stream.local.rest_events import IncomingRequest, rest_event
from lambda_stream.local.specs import Limits, Route

logger = logging.getLogger(__name__)

_HOST = re.compile(r"^[A-Za-z0-9._-]+(:\d{1,5})?$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# They belong to one connection, and the connection to the client is ours.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})

_WITHOUT_BODY = (204, 304)


class _RefusedError(Exception):
    """API Gateway itself answers this request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Front:
    """Serves requests by `routes` from `pools` (by function name)."""

    def __init__(self, pools: Mapping[str, EnvironmentPool], routes: Sequence[Route], limits: Limits, stage: str) -> None:
        self._pools = pools
        self._routes = routes
        self._limits = limits
        self._stage = stage

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request from its head to the last byte of its answer."""
        request_id = str(uuid.uuid4())
        try:
            reply = await self._invoke(request, request_id)
        except _RefusedError as refused:
            response = web.json_response({"message": refused.message}, status=refused.status)
            if refused.status in (400, 413):
                # The rest of a refused request is not read.
                response.force_close()
            return response
        except ThrottledError as throttled:
            logger.warning("throttled: %s", throttled)
            return web.json_response({"message": "Too Many Requests"}, status=429)
        except InvocationFailedError as failed:
            logger.error("%s %s: %s", request.method, request.path, failed.reason)
            return web.json_response({"message": "Internal server error"}, status=502)
        if isinstance(reply, BufferedReply):
            return web.Response(status=reply.status, headers=_headers(reply.headers, request_id), body=reply.body)
        return await _relay(request, reply, request_id)

    async def _invoke(self, request: web.BaseRequest, request_id: str) -> StreamedReply | BufferedReply:
        target = _target(request)
        pool = self._pool(request.method, target.partition("?")[0])
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
        body = await self._read_body(request)
        incoming = IncomingRequest(request.method, target, headers, body, request.remote or "127.0.0.1")
        sockname = request.get_extra_info("sockname")
        event = rest_event(incoming, request_id=request_id, stage=self._stage, port=sockname[1])
        if len(event) > self._limits.event_bytes:
            raise _RefusedError(413, f"the event is larger than Lambda's {self._limits.event_bytes} bytes")
        # Lambda never hears of a client that goes away: the function runs on, its answer is dropped.
        return await asyncio.shield(pool.invoke(event).reply)

    def _pool(self, method: str, path: str) -> EnvironmentPool:
        for route in self._routes:
            if route.accepts(method, path):
                return self._pools[route.function]
        # What API Gateway says of a path it does not know.
        raise _RefusedError(403, "Missing Authentication Token")

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        limit = self._limits.request_body_bytes
        too_large = _RefusedError(413, f"the request body is larger than {limit} bytes")
        if (request.content_length or 0) > limit:
            raise too_large
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit:
                    raise too_large
        except ConnectionResetError:
            raise _RefusedError(400, "the request body broke off") from None  # its client has left: nobody reads this
        return bytes(body)


def _target(request: web.BaseRequest) -> str:
    """The request target in origin form. Raises _RefusedError for what API Gateway does not serve."""
    if request.method not in _METHODS:
        raise _RefusedError(400, f"unsupported method {request.method}")
    if not _HOST.match(request.headers.get("Host", "")):
        raise _RefusedError(400, "the Host header is missing or malformed")
    target = request.raw_path
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target


def _headers(headers: HeaderList, request_id: str) -> CIMultiDict[str]:
    kept = CIMultiDict((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)
    kept["x-amzn-RequestId"] = request_id
    return kept


async def _relay(request: web.BaseRequest, reply: StreamedReply, request_id: str) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=_headers(reply.headers, request_id))
    try:
        await response.prepare(request)
        if request.method == "HEAD" or reply.status in _WITHOUT_BODY:
            await _drain(reply)
        else:
            await _relay_body(response, reply)
        await response.write_eof()
    except InvocationFailedError as broken:
        logger.error("%s %s: the stream broke off: %s", request.method, request.path, broken.reason)
        if request.transport is not None:
            # What has come is flushed, the last chunk never comes: the client must see that this answer is not whole.
            request.transport.close()
    except ConnectionError:
        # The client went away. The function is not told; what it still writes is read and dropped.
        await _drain(reply)
    return response


async def _relay_body(response: web.StreamResponse, reply: StreamedReply) -> None:
    missing = response.content_length
    while data := await reply.body.read():
        await response.write(data)
        missing = missing and missing - len(data)
    if missing:
        raise StreamBrokenError(f"the body is {missing} bytes short of its Content-Length")


async def _drain(reply: StreamedReply) -> None:
    try:
        while await reply.body.read():
            pass
    except InvocationFailedError as broken:
        logger.error("the stream broke off, its client was gone already: %s", broken.reason)
