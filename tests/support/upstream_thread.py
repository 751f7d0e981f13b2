"""A blocking upstream in a thread, for tests whose other half is a process."""

import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self


class UpstreamThread:
    """Answers every POST with one SSE event and then waits. Stopped when its `with` block ends."""

    def __init__(self) -> None:
        self._first = b""
        self._held = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(outer._first)
                self.wfile.flush()
                outer._held.wait(30)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Silence: the default writes to standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._folder = tempfile.TemporaryDirectory()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def stream_then_wait(self, first: bytes, held: threading.Event) -> None:
        self._first, self._held = first, held

    def config(self, name: str) -> Path:
        path = Path(self._folder.name) / "config.yaml"
        path.write_text(f"model_list: [{{model_name: {name}, params: {{model: compatible/x, api_base: '{self.base_url}'}}}}]\n")
        return path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held.set()
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()
