"""events/: complete REST API events, so that what they show is what API Gateway sends."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "events").glob("*.json"))
FIELDS = {
    "resource",
    "path",
    "httpMethod",
    "headers",
    "multiValueHeaders",
    "queryStringParameters",
    "multiValueQueryStringParameters",
    "pathParameters",
    "stageVariables",
    "requestContext",
    "body",
    "isBase64Encoded",
}
CONTEXT = {
    "accountId",
    "apiId",
    "domainName",
    "domainPrefix",
    "extendedRequestId",
    "httpMethod",
    "identity",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourceId",
    "resourcePath",
    "stage",
}


def load(path: Path) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return event


def test_there_is_an_event_for_every_kind_of_question() -> None:
    names = {path.stem for path in FILES}
    asked = {"chat", "chat-stream", "models", "model", "health", "ready", "tools", "api-v1-mirror", "base64-body"}
    refused = {"unauthorized", "wrong-key", "bad-json", "unknown-model", "no-messages", "wrong-type", "unknown-path"}
    assert asked | refused <= names


def test_no_two_events_are_the_same_request() -> None:
    ids = [load(path)["requestContext"]["requestId"] for path in FILES]
    assert len(set(ids)) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_whole(path: Path) -> None:
    event = load(path)
    assert set(event) == FIELDS
    assert set(event["requestContext"]) >= CONTEXT
    assert event["requestContext"]["path"] == f"/{event['requestContext']['stage']}{event['path']}"
    assert event["requestContext"]["resourcePath"] == event["resource"]
    assert event["requestContext"]["httpMethod"] == event["httpMethod"]
    assert event["resource"].replace("{proxy+}", event["pathParameters"]["proxy"]) == event["path"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_forms_of_headers_and_queries_agree(path: Path) -> None:
    event = load(path)
    assert {name: values[-1] for name, values in event["multiValueHeaders"].items()} == event["headers"]
    single, multiple = event["queryStringParameters"], event["multiValueQueryStringParameters"]
    assert single == (multiple and {name: values[-1] for name, values in multiple.items()})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_body_is_json_unless_that_is_the_question(path: Path) -> None:
    event = load(path)
    if event["body"] is None:
        assert event["httpMethod"] == "GET" or path.stem == "empty-body"
        return
    text = base64.b64decode(event["body"], validate=True) if event["isBase64Encoded"] else event["body"]
    if path.stem == "bad-json":
        with pytest.raises(ValueError, match="Expecting ',' delimiter"):
            json.loads(text)
    else:
        assert json.loads(text)["model"] == ("dmeo" if path.stem == "unknown-model" else "demo")
