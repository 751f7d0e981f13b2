"""Every rule of the streaming protocol, judged by AWS's own Runtime API (the Lambda Runtime Interface Emulator).

It accepts a stream and hands it out whole, so it proves syntax and order; that pieces arrive one by one is proven on the local
Runtime API. The functions run through the layer's exec wrapper.
"""

import json
import re
from pathlib import Path

import pytest
from tests.runtime.support.emulator import Emulated, emulated
from tests.runtime.support.events import make_rest_event

pytestmark = pytest.mark.slow


def _pid(function: Emulated) -> int:
    _, body = function.get("/echo")
    pid: int = json.loads(body)["pid"]
    return pid


def test_a_stream_arrives_whole_behind_its_prelude(emulated_app: Emulated) -> None:
    prelude, body = emulated_app.get("/ticks")
    assert prelude == {"statusCode": 200, "multiValueHeaders": {"content-type": ["text/plain"]}}
    assert body == b"tick 0\ntick 1\ntick 2\n"


@pytest.mark.parametrize(("target", "status"), [("/nowhere", 404), ("/empty", 204), ("/headers-of-all-kinds", 201)])
def test_every_answer_has_a_prelude_the_apps_errors_and_empty_answers_too(
    emulated_app: Emulated, target: str, status: int
) -> None:
    assert emulated_app.get(target)[0]["statusCode"] == status


def test_repeated_headers_and_cookies_keep_every_value(emulated_app: Emulated) -> None:
    headers = emulated_app.get("/headers-of-all-kinds")[0]["multiValueHeaders"]
    assert headers["set-cookie"] == ["a=1; Path=/", "b=2; HttpOnly"]
    assert headers["x-many"] == ["one", "two"]
    assert headers["x-latin"] == ["café"]


def test_zero_length_writes_do_not_end_the_stream(emulated_app: Emulated) -> None:
    assert emulated_app.get("/zero-length")[1] == b"ab"


def test_a_hundred_thousand_small_events_arrive_in_order(emulated_app: Emulated) -> None:
    _, body = emulated_app.get("/many")
    assert body == b"".join(b"data: %d\n\n" % number for number in range(100_000))


def test_binary_bodies_pass_both_ways(emulated_app: Emulated) -> None:
    data = bytes(range(256)) * 64
    headers = (("Host", "localhost"), ("Content-Type", "application/octet-stream"))
    _, payload = emulated_app.invoke(make_rest_event("/binary", "POST", headers, data))
    assert payload.partition(b"\0" * 8)[2] == data


@pytest.mark.parametrize("target", ["/fail-first", "/fail-started"])
def test_an_exception_before_the_first_byte_is_an_error_of_the_invocation(emulated_app: Emulated, target: str) -> None:
    pid = _pid(emulated_app)
    _, payload = emulated_app.invoke(make_rest_event(target))
    error = json.loads(payload)
    assert error["errorType"] == "LookupError"
    assert "no byte yet" in error["errorMessage"] or "before the first byte" in error["errorMessage"]
    assert "served_app.py" in "".join(error["stackTrace"])
    assert _pid(emulated_app) == pid


@pytest.mark.parametrize(
    ("target", "error_type"),
    [
        ("/silent", "ProtocolViolationError"),
        ("/exits", "AppExitError"),
        ("/task-exits-first", "AppExitError"),
        ("/large-headers", "PreludeTooLargeError"),
    ],
)
def test_an_app_without_an_answer_is_an_error_and_the_environment_lives(
    emulated_app: Emulated, target: str, error_type: str
) -> None:
    pid = _pid(emulated_app)
    _, payload = emulated_app.invoke(make_rest_event(target))
    assert json.loads(payload)["errorType"] == error_type
    assert _pid(emulated_app) == pid


def test_an_error_report_larger_than_lambdas_payload_does_not_end_the_environment(emulated_app: Emulated) -> None:
    pid = _pid(emulated_app)
    _, payload = emulated_app.invoke(make_rest_event("/fail-first-with-much"))
    assert json.loads(payload)["errorMessage"].startswith("éééé")
    assert _pid(emulated_app) == pid


@pytest.mark.parametrize("target", ["/fail-midway", "/fail-midway-with-much", "/unfinished", "/exits-midway"])
def test_an_error_after_the_first_byte_goes_into_trailers_that_do_not_end_the_environment(
    emulated_app: Emulated, target: str
) -> None:
    pid = _pid(emulated_app)
    said = "the response broke off after its first byte"
    before = emulated_app.log.count(said)
    prelude, body = emulated_app.get(target)
    assert (prelude["statusCode"], body) == (200, b"half")
    assert _pid(emulated_app) == pid
    emulated_app.wait_for(said, before + 1)


def test_an_exception_after_the_end_is_logged_and_the_answer_stands(emulated_app: Emulated) -> None:
    pid = _pid(emulated_app)
    assert emulated_app.get("/fail-late")[1] == b"whole"
    assert _pid(emulated_app) == pid
    emulated_app.wait_for("the app failed after its response was complete")


def test_all_invocations_share_one_event_loop(emulated_app: Emulated) -> None:
    emulated_app.get("/put")
    assert emulated_app.get("/get")[1] == b"put by an earlier invocation"


def test_a_second_receive_ends_with_the_response(emulated_app: Emulated) -> None:
    assert emulated_app.get("/disconnect")[1] == b"waiting"


def test_the_scope_carries_event_context_and_deadline(emulated_app: Emulated) -> None:
    seen = json.loads(emulated_app.get("/echo")[1])
    assert seen["event_path"] == "/echo"
    assert re.fullmatch(r"[0-9a-f-]{36}", seen["request_id"])
    assert 0 < seen["remaining_ms"] <= 300_000
    assert seen["deadline_ms"] > seen["remaining_ms"]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, "Scheduled Event"),
        ({"Records": [{"eventSource": "aws:sqs", "body": ""}]}, "records of aws:sqs"),
        ({"requestContext": {"elb": {}}, "httpMethod": "GET", "path": "/"}, "Application Load Balancer"),
        ({"requestContext": {"routeKey": "$connect"}}, "WebSocket"),
        (["a", "list"], "JSON list"),
        ({"anything": 1}, "['anything']"),
    ],
)
def test_an_event_that_is_no_http_request_gets_an_error_that_names_it(
    emulated_app: Emulated, event: object, named: str
) -> None:
    _, payload = emulated_app.invoke(json.dumps(event).encode())
    error = json.loads(payload)
    assert error["errorType"] == "UnsupportedEventError"
    assert named in error["errorMessage"]


def test_an_event_that_is_not_json_gets_an_error(emulated_app: Emulated) -> None:
    _, payload = emulated_app.invoke(b"{not json")
    assert json.loads(payload)["errorType"] == "Runtime.UnmarshalError"


@pytest.mark.parametrize(
    ("handler", "mode", "error_type"),
    [
        ("absent.app", "stream", "Runtime.ImportModuleError"),
        ("served_app.absent", "stream", "Runtime.HandlerNotFound"),
        ("broken_import.app", "stream", "LookupError"),
        ("served_app.not_an_app", "stream", "LambdaStream.NotAnAsgiApp"),
        ("served_app.app", "sideways", "LambdaStream.UnknownMode"),
    ],
)
def test_a_function_that_cannot_start_reports_an_init_error(
    emulator: Path, tmp_path: Path, handler: str, mode: str, error_type: str
) -> None:
    with emulated(emulator, tmp_path / "log", handler, mode) as function:
        _, payload = function.invoke(make_rest_event("/ticks"))
    assert json.loads(payload)["errorType"] == error_type


def test_buffered_mode_answers_with_the_ordinary_proxy_json(emulator: Path, tmp_path: Path) -> None:
    with emulated(emulator, tmp_path / "log", mode="buffered") as function:
        text = json.loads(function.invoke(make_rest_event("/ticks"))[1])
        octets = json.loads(function.invoke(make_rest_event("/binary", "POST", body=b"\xff\x00"))[1])
    assert (text["statusCode"], text["body"], text["isBase64Encoded"]) == (200, "tick 0\ntick 1\ntick 2\n", False)
    assert (octets["body"], octets["isBase64Encoded"]) == ("/wA=", True)


def test_starlette_answers_streams_runs_background_tasks_and_reports_its_errors(emulator: Path, tmp_path: Path) -> None:
    with emulated(emulator, tmp_path / "log", "starlette_app.app") as function:
        assert function.get("/stream")[1] == b"piece 0;piece 1;piece 2;piece 3;"
        assert json.loads(function.get("/done")[1]) == ["background task"]
        # Starlette sends its 500 and raises again: the answer is whole and must not get trailers.
        prelude, body = function.get("/fails")
        assert (prelude["statusCode"], body) == (500, b"Internal Server Error")
        _, payload = function.invoke(make_rest_event("/body", "POST", body=b"posted"))
        assert payload.endswith(b"posted")
