"""A provider in a thread, for tests that own no event loop: it lists its models to everybody and answers no question."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class ProviderThread(ThreadingHTTPServer):
    """GET is answered 200, POST 500. `seen`: (method, path, Authorization) of every request."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer(500)

            def _answer(self, status: int) -> None:
                outer.seen.append((self.command, self.path, self.headers["authorization"]))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Silence: the default writes to standard error."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def provider_thread() -> Iterator[ProviderThread]:
    with ProviderThread() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
