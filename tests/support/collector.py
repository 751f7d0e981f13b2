"""An OpenTelemetry collector on loopback that keeps what it is sent, read by the official schema."""

import base64
import gzip
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Received:
    """One span in plain values: ids in hex, attributes as a dict."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    failed: bool
    flags: int
    state: str
    links: tuple[tuple[str, str, Mapping[str, Any]], ...]
    resource: Mapping[str, Any] = field(default_factory=dict)


def read_spans(body: bytes) -> list[Received]:
    """What the collector's own schema makes of a body. Its JSON spells ids in hex where protobuf's would be base64, so they are
    taken from the text."""
    request = Parse(_with_base64_ids(body), ExportTraceServiceRequest())
    return [
        _received(span, _plain(of.resource.attributes))
        for of in request.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _with_base64_ids(body: bytes) -> str:
    def encoded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        ids = {"traceId", "spanId", "parentSpanId"}
        return {key: base64.b64encode(bytes.fromhex(value)).decode() if key in ids else value for key, value in pairs}

    return json.dumps(json.loads(body, object_pairs_hook=encoded))


def _received(span: Span, resource: Mapping[str, Any]) -> Received:
    return Received(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _plain(span.attributes),
        span.status.code == 2,
        span.flags,
        span.trace_state,
        tuple((link.trace_id.hex(), link.span_id.hex(), _plain(link.attributes)) for link in span.links),
        resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    names = [pair.key for pair in pairs]
    assert len(names) == len(set(names)), names
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


class Collector:
    """Listens on a port of its own in a thread. `answers` are given in turn (status, body), the last one from then on."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._came = threading.Condition()
        self._answers = list(answers) or [(200, b"{}")]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.paths.append(self.path)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                outer.bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                status, answer = outer._answers.pop(0) if len(outer._answers) > 1 else outer._answers[0]
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                with outer._came:
                    outer._came.notify_all()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Silence: the default writes to standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[Received]:
        return [span for body in list(self.bodies) for span in read_spans(body)]

    def wait_for(self, bodies: int) -> bool:
        """Whether so many came, within twenty seconds."""
        with self._came:
            return self._came.wait_for(lambda: len(self.bodies) >= bodies, 20)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
