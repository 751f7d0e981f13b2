"""The laptop's table: moto's DynamoDB over HTTP, made safe for several workers.

moto checks a condition and writes in two steps; under threads that admits too much. One lock around every call makes its
updates what DynamoDB's are. Everything is forgotten when the process ends. `--dynamodb-endpoint` uses another one.
"""

import argparse
import signal
import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

TABLE = "pllm-local"


def serve(port: int) -> None:
    """Serves on loopback until SIGTERM or SIGINT. Prints the address once the table is there."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # slow: only this process pays
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, _OneAtATime(app), threaded=True)
    _serve_until_stopped(server)


class _OneAtATime:
    """WSGI middleware that lets one request in at a time."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            answer: Iterable[bytes] = self._app(environment, start_response)
            return answer


def _serve_until_stopped(server: Any) -> None:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    create_table(endpoint)
    print(endpoint, flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    server.shutdown()


def create_table(endpoint: str) -> None:
    """The table of infra/template.yaml, made where it does not exist yet."""
    from pllm.state.table import connect

    client = connect("us-east-1", endpoint, read_timeout_s=30.0)
    if TABLE in client.list_tables()["TableNames"]:
        return
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
