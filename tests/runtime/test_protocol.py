import base64
import json

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_stream import protocol


def _parse(request: bytes) -> tuple[h11.Request, list[bytes], dict[bytes, bytes]]:
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(request)
    head = judge.next_event()
    assert isinstance(head, h11.Request)
    chunks = []
    while isinstance(event := judge.next_event(), h11.Data):
        chunks.append(bytes(event.data))
    assert isinstance(event, h11.EndOfMessage)
    return head, chunks, dict(event.headers)


def test_the_head_announces_a_streamed_http_response_with_trailers() -> None:
    head, chunks, trailers = _parse(protocol.request_head("127.0.0.1:9001", "an-id", None) + protocol.LAST_CHUNK)
    assert (head.method, head.target) == (b"POST", b"/2018-06-01/runtime/invocation/an-id/response")
    headers = dict(head.headers)
    assert headers[b"lambda-runtime-function-response-mode"] == b"streaming"
    assert headers[b"content-type"] == b"application/vnd.awslambda.http-integration-response"
    assert headers[b"transfer-encoding"] == b"chunked"
    assert headers[b"trailer"] == b"Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
    assert b"lambda-runtime-invocation-id" not in headers
    assert (chunks, trailers) == ([], {})


def test_the_invocation_id_is_echoed_when_lambda_sent_one() -> None:
    head, _, _ = _parse(protocol.request_head("h:1", "an-id", "an-invocation") + protocol.LAST_CHUNK)
    assert dict(head.headers)[b"lambda-runtime-invocation-id"] == b"an-invocation"


def test_empty_data_is_no_chunk() -> None:
    assert protocol.chunk(b"") == b""
    assert protocol.chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"


def test_the_prelude_of_a_rest_api_keeps_every_value_of_a_header() -> None:
    headers = [
        (b"Set-Cookie", b"a=1"),
        (b"X-One", b"1"),
        (b"set-cookie", b"b=2"),
        (b"x-latin", b"\xe9"),
        (b"x-utf-8", "é".encode()),
    ]
    prelude = protocol.prelude_multi_value(201, headers)
    assert prelude.endswith(b"}" + b"\0" * 8)
    assert json.loads(prelude[:-8]) == {
        "statusCode": 201,
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"], "x-one": ["1"], "x-latin": ["é"], "x-utf-8": ["é"]},
    }


def test_the_prelude_of_a_function_url_joins_headers_and_lists_cookies() -> None:
    headers = [(b"Set-Cookie", b"a=1"), (b"Vary", b"Accept"), (b"vary", b"Origin"), (b"set-cookie", b"b=2")]
    assert json.loads(protocol.prelude_joined(200, headers)[:-8]) == {
        "statusCode": 200,
        "headers": {"vary": "Accept, Origin"},
        "cookies": ["a=1", "b=2"],
    }
    assert json.loads(protocol.prelude_joined(204, [])[:-8]) == {"statusCode": 204, "headers": {}}


@pytest.mark.parametrize("encode", [protocol.prelude_multi_value, protocol.prelude_joined])
def test_a_prelude_above_8_kb_is_refused_and_the_largest_header_named(encode: protocol.PreludeEncoder) -> None:
    assert len(encode(200, [(b"x-fits", b"v" * 8000)])) <= 8192
    with pytest.raises(protocol.PreludeTooLargeError, match=r"Lambda accepts 8192; the largest header is 'x-large'"):
        encode(200, [(b"x-small", b"v"), (b"x-large", b"v" * 8192)])


def _raised(error: Exception, depth: int = 0) -> Exception:
    try:
        if depth:
            raise _raised(error, depth - 1)
        raise error
    except Exception as caught:  # noqa: BLE001
        return caught


@given(st.text(), st.integers(0, 10_000), st.integers(0, 60))
@settings(deadline=None, max_examples=60)
def test_error_trailers_fit_the_read_buffer_of_the_runtime_api_whatever_the_error(text: str, times: int, depth: int) -> None:
    error = _raised(ValueError(text * times), depth)
    last = protocol.last_chunk_with_error(error, "an-id")
    assert len(last) < 4096
    _, _, trailers = _parse(protocol.request_head("h:1", "an-id", None) + last)
    body = trailers[b"lambda-runtime-function-error-body"]
    assert len(body) <= 3000
    reported = json.loads(base64.b64decode(body))
    assert trailers[b"lambda-runtime-function-error-type"] == b"ValueError"
    assert (reported["errorType"], reported["requestId"]) == ("ValueError", "an-id")
    assert (text * times).startswith(reported["errorMessage"])


def test_a_short_error_keeps_its_message_and_the_innermost_frames() -> None:
    last = protocol.last_chunk_with_error(_raised(ValueError("what was wrong"), 3), "an-id")
    _, _, trailers = _parse(protocol.request_head("h:1", "an-id", None) + last)
    reported = json.loads(base64.b64decode(trailers[b"lambda-runtime-function-error-body"]))
    assert reported["errorMessage"] == "what was wrong"
    assert "raise error" in reported["stackTrace"][-1]


def test_an_error_type_that_is_not_ascii_still_makes_a_valid_trailer() -> None:
    strange = type("Fehlerübermäßig" * 30, (Exception,), {})("message")
    _, _, trailers = _parse(protocol.request_head("h:1", "i", None) + protocol.last_chunk_with_error(strange, "i"))
    assert trailers[b"lambda-runtime-function-error-type"].startswith(b"Fehler?berm??ig")
    assert len(trailers[b"lambda-runtime-function-error-type"]) == 200


def test_an_error_report_is_cut_only_when_lambda_would_refuse_it() -> None:
    short = json.dumps({"errorMessage": "m", "errorType": "T", "requestId": "i", "stackTrace": ["f"]})
    assert protocol.fit_error_report(short) == short
    report = {"errorMessage": "\u00e9" * 8_000_000, "errorType": "T", "requestId": "i", "stackTrace": ["f" * 9000] * 1000}
    cut = protocol.fit_error_report(json.dumps(report))
    assert len(cut) <= protocol.ERROR_REPORT_LIMIT_CHARACTERS
    assert json.loads(cut)["errorType"] == "T"
    assert set(json.loads(cut)["errorMessage"]) == {"\u00e9"}
