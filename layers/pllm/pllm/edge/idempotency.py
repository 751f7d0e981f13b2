"""`Idempotency-Key` on POST: a request that is sent again gets the answer of its first run, and is not paid for twice.

A wrapper around endpoints that costs nothing without the header. What is kept: whole 2xx answers, streams that ended whole (as
the bytes they were), and an upstream's final "no" (a 4xx). What failed otherwise (429, 5xx, a broken stream, a 400 that no
upstream was asked about) cost nothing or may go better, so the key is free again at once.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.limits import GateLimits
from pllm.core.record import RequestRecord
from pllm.edge import errors
from pllm.edge.exchange import Endpoint, Exchange, Sent
from pllm.edge.http import HttpRequest, Message, json_headers, send_whole, start_message
from pllm.state.idempotency import MOST_BYTES, Answer, Claim, Different, Idempotency, Running
from pllm.state.store import StateError
from pllm.telemetry.log import Emit
from pllm.wire.sse import KEEP_ALIVE

if TYPE_CHECKING:
    from pllm.edge.app import Routes

HEADER = "x-pllm-idempotent"

_LONGEST_REQUEST_S = 900.0
# Clocks differ a little, and the platform ends a request somewhat after its deadline.
_MARGIN_S = 60.0
_ASK_AGAIN_S = 2.0
_MOST_RAW_BYTES = 20_000_000
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)', re.IGNORECASE)
_PASSING = frozenset({401, 403, 408, 409, 425, 429})


Refuses = Callable[[Iterable[GateLimits]], GatewayError | None]
"""What is known to refuse any request of a caller with these limits, None where nothing is."""


def idempotent(routes: "Routes", keeper: Idempotency | None, emit: Emit, refuses: Refuses) -> "Routes":
    """The same routes, each POST among them minding the header. `keeper` is None where there is no table."""
    return {
        path: {
            method: (name, Once(endpoint, keeper, emit, refuses) if method == "POST" else endpoint)
            for method, (name, endpoint) in methods.items()
        }
        for path, methods in routes.items()
    }


@dataclass(frozen=True, slots=True)
class Once:
    """An endpoint that runs a request with a key once."""

    endpoint: Endpoint
    keeper: Idempotency | None
    emit: Emit
    refuses: Refuses

    async def __call__(self, exchange: Exchange) -> None:
        keys = exchange.request.all("idempotency-key")
        if not keys:
            await self.endpoint(exchange)
            return
        if self.keeper is None:
            raise invalid(
                "'Idempotency-Key' needs the gateway's table, and there is none (PLLM_TABLE): send the request without it."
            )
        match await _found(self.keeper, exchange, _checked(keys), self.refuses(exchange.principal.limits)):
            case Claim() as claim:
                await self._run(self.keeper, claim, exchange)
            case Answer() as answer:
                await _replay(exchange, answer)
            case Running(seconds):
                raise GatewayError(
                    ErrorKind.CONFLICT,
                    "A request with this Idempotency-Key is running. Ask again for its answer.",
                    code="idempotent_request_running",
                    retry_after_s=min(seconds, _ASK_AGAIN_S),
                )
            case Different():
                raise GatewayError(
                    ErrorKind.INVALID_REQUEST,
                    "This Idempotency-Key was used for a request with another path or body. Use a new key for a new request.",
                    status=422,
                    code="idempotency_key_reused",
                )

    async def _run(self, keeper: Idempotency, claim: Claim, exchange: Exchange) -> None:
        recorder = _Recorder(exchange, keeper, claim, self.emit)
        try:
            await self.endpoint(replace(exchange, send=Sent(recorder)))
        except GatewayError as error:
            if not recorder.started and _is_final(error, exchange.record):
                await recorder.keep(error.status, dict(json_headers()), errors.body(error, exchange.request.path))
            raise
        finally:
            if not recorder.finished:
                await keeper.release(claim)


class _Recorder:
    """Between an endpoint and its client: everything passes, and is kept before the last of it does. So whoever has seen a
    whole answer will be given it again."""

    def __init__(self, exchange: Exchange, keeper: Idempotency, claim: Claim, emit: Emit) -> None:
        self._exchange = exchange
        self._keeper = keeper
        self._claim = claim
        self._emit = emit
        self._start: Message | None = None
        self._packer: zlib._Compress | None = zlib.compressobj(1)
        self._packed: list[bytes] = []
        self._raw_size = 0
        self._packed_size = 0
        self.started = False
        self.finished = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._record(message.get("body", b""))
        last = not message.get("more_body", False)
        if last:
            await self._end()
        if self._start is not None and not self.started:
            self.started = True
            await self._exchange.send(self._start)
        await self._exchange.send(message)

    async def keep(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """An answer that did not pass here."""
        await self._finish(Answer(status, headers, zlib.compress(body)))

    def _record(self, piece: bytes) -> None:
        if self._packer is None or piece == KEEP_ALIVE:
            return
        self._raw_size += len(piece)
        self._pack(self._packer.compress(piece))
        if self._packed_size > MOST_BYTES or self._raw_size > _MOST_RAW_BYTES:
            self._packer = None
            self._packed.clear()

    def _pack(self, data: bytes) -> None:
        self._packed.append(data)
        self._packed_size += len(data)

    async def _end(self) -> None:
        record = self._exchange.record
        if self._start is None or not 200 <= self._start["status"] < 300 or record.broken or record.error:
            return
        if self._packer is not None:
            self._pack(self._packer.flush())
        whole = self._packer is not None and self._packed_size <= MOST_BYTES
        if not whole and not self.started:
            self._start["headers"] = [*self._start["headers"], (HEADER.encode(), b"not-kept")]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._start["headers"]}
        await self._finish(Answer(self._start["status"], _kept(headers), b"".join(self._packed) if whole else None))

    async def _finish(self, answer: Answer) -> None:
        self.finished = True
        try:
            await self._keeper.finish(self._claim, answer)
        except StateError as error:
            record = self._exchange.record
            said = {"why": error.reason, "request_id": record.request_id}
            self._emit({"level": "WARN", "message": "idempotent answer not kept", **said})


async def _found(
    keeper: Idempotency, exchange: Exchange, key: str, refusal: GatewayError | None
) -> Claim | Running | Different | Answer:
    """Raises the `refusal` of a request that would have to run: claims of what cannot run are not worth their writes."""
    fingerprint = await _fingerprint(exchange.path, exchange.request)
    lease_s = _LONGEST_REQUEST_S
    if exchange.deadline_s is not None:
        lease_s = max(exchange.deadline_s - keeper.clock.monotonic_s(), 0.0)
    try:
        if refusal is None:
            return await keeper.claim(exchange.principal.id, key, fingerprint, lease_s + _MARGIN_S)
        found = await keeper.look(exchange.principal.id, key, fingerprint)
    except StateError as error:
        raise GatewayError(
            ErrorKind.UNAVAILABLE,
            f"It cannot be known now whether a request with this Idempotency-Key has run ({error.reason}).",
            retry_after_s=_ASK_AGAIN_S,
        ) from None
    if found is None:
        raise refusal
    return found


async def _replay(exchange: Exchange, answer: Answer) -> None:
    if answer.body is None:
        raise GatewayError(
            ErrorKind.CONFLICT,
            "The request with this Idempotency-Key has run and was paid for, but its answer was too large to be kept "
            f"(more than {MOST_BYTES} bytes compressed). To run it once more, use a new key.",
            code="idempotent_answer_not_kept",
        )
    record, send = exchange.record, exchange.send
    record.status, record.idempotent = answer.status, "replayed"
    headers = [*answer.headers.items(), ("x-request-id", record.request_id), (HEADER, "replayed")]
    body = zlib.decompress(answer.body)
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        await send_whole(send, answer.status, headers, body)
        return
    record.stream = True
    await send(start_message(answer.status, headers))
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _checked(keys: list[str]) -> str:
    key = keys[0].strip()
    if len(keys) > 1 or not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise invalid("'Idempotency-Key' must be one value of 1 to 255 printable ASCII characters.")
    return key


async def _fingerprint(path: str, request: HttpRequest) -> bytes:
    """Of what is asked: the path and the body, less a form's boundary, which clients choose anew when they try again."""
    body = await request.body()
    boundary = _BOUNDARY.search(request.header("content-type") or "")
    if boundary is not None:
        body = body.replace(b"--" + boundary[1].encode("latin-1"), b"--")
    return sha256(path.encode("utf-8", "surrogatepass") + b"\0" + body).digest()


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """What is true of the answer whenever it is given. The rest is about the request that made it."""
    about = {name: value for name, value in headers.items() if name.startswith("x-pllm-") and name != "x-pllm-overhead-ms"}
    first = {"x-pllm-first-request-id": headers["x-request-id"]} if "x-request-id" in headers else {}
    return {name: headers[name] for name in ("content-type", "cache-control") if name in headers} | about | first


def _is_final(error: GatewayError, record: RequestRecord) -> bool:
    """Whether the request ran, and would come to the same if it ran again."""
    return record.attempts > 0 and 400 <= error.status < 500 and error.status not in _PASSING and not error.retryable
