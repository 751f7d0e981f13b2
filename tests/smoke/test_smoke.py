"""tests/smoke/smoke.py sees what is wrong with a deployment, and passes one that is right."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.smoke import smoke
from tests.support.processes import LOCAL_KEY, pllm_local

KEY = "sk-right"
ERROR = {"error": {"message": "No", "type": "authentication_error", "param": None, "code": "invalid_api_key"}}
Answer = tuple[int, str, list[bytes], float]
"""Status, content type, pieces of the body, and seconds between them."""


def whole(status: int, document: object) -> Answer:
    return status, "application/json", [json.dumps(document).encode()], 0.0


def chunks(delay_s: float, finish: bool = True) -> Answer:
    deltas = [({"content": word}, None) for word in ("one", " two", " three")]
    choices = [*deltas, *([({}, "stop")] if finish else [])]
    events = [
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in choices
    ]
    pieces = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return 200, "text/event-stream", [*pieces, b"data: [DONE]\n\n"], delay_s


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], smoke.Deployment]]:
    """Starts a server that gives one answer to everything."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> smoke.Deployment:
        status, content_type, pieces, delay_s = answer

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(delay_s)

            do_GET = do_POST = answer

            def log_message(self, *arguments: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return smoke.Deployment(f"http://127.0.0.1:{server.server_port}/v1", KEY, "m")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def verdict(deployment: smoke.Deployment, check: smoke.Check) -> tuple[bool, str]:
    [(_, passed, detail)] = smoke.run(deployment, [check])
    return passed, detail


def test_a_prelude_that_reaches_the_client_is_seen(serve: Callable[[Answer], smoke.Deployment]) -> None:
    leaked = b'{"statusCode":200,"multiValueHeaders":{}}\0\0\0\0\0\0\0\0{"status":"ok"}'
    passed, detail = verdict(serve((200, "application/json", [leaked], 0.0)), smoke.health)
    assert not passed
    assert "prelude reached the client" in detail


def test_a_stream_that_something_buffers_is_seen(serve: Callable[[Answer], smoke.Deployment]) -> None:
    passed, detail = verdict(serve(chunks(delay_s=0.0)), smoke.stream)
    assert not passed
    assert "buffers the stream" in detail


def test_a_stream_that_arrives_as_it_is_made_passes(serve: Callable[[Answer], smoke.Deployment]) -> None:
    passed, detail = verdict(serve(chunks(delay_s=0.04)), smoke.stream)
    assert passed, detail
    assert detail.startswith("4 chunks")


def test_a_stream_without_an_end_is_seen(serve: Callable[[Answer], smoke.Deployment]) -> None:
    passed, detail = verdict(serve(chunks(delay_s=0.04, finish=False)), smoke.stream)
    assert not passed
    assert "finish_reason None" in detail


def test_an_open_door_is_seen(serve: Callable[[Answer], smoke.Deployment]) -> None:
    passed, detail = verdict(serve(whole(200, {"object": "list", "data": []})), smoke.key_needed)
    assert not passed
    assert "promised was 401" in detail


def test_an_error_of_another_shape_is_seen(serve: Callable[[Answer], smoke.Deployment]) -> None:
    passed, detail = verdict(serve(whole(401, {"message": "Missing Authentication Token"})), smoke.key_needed)
    assert not passed
    assert "the set of the error's fields" in detail


def test_errors_in_the_openai_shape_pass(serve: Callable[[Answer], smoke.Deployment]) -> None:
    assert verdict(serve(whole(401, ERROR)), smoke.key_needed) == (True, "No")


def test_a_deployment_that_is_not_there_is_one_failed_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(smoke.KEY_VARIABLE, KEY)
    assert smoke.main(["--url", "http://127.0.0.1:9/v1"]) == 1
    assert capsys.readouterr().out.startswith("FAILED no model to ask: APIConnectionError")


def test_an_address_that_is_not_the_url_output_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(smoke.KEY_VARIABLE, KEY)
    assert smoke.main(["--url", "http://127.0.0.1:9/"]) == 2
    assert "must end in /v1" in capsys.readouterr().err


@pytest.mark.slow
def test_the_gateway_itself_passes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    # The demo repeats it word by word: for so long that a pause of this process does not look like a buffer on the way.
    monkeypatch.setattr(smoke, "PROMPT", 4 * f"{smoke.PROMPT} ")
    with pllm_local("--model", "demo") as gateway:
        results = list(smoke.run(smoke.Deployment(f"{gateway.url}/v1", LOCAL_KEY, "demo")))
    assert [(name, detail) for name, passed, detail in results if not passed] == []
    assert len(results) == len(smoke.CHECKS)
