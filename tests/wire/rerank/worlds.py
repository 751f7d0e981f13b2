"""Lanes of the rerank wires as the packaged catalogue makes them, and botocore as the judge of what Bedrock gets."""

import json
from functools import cache
from typing import Any

import botocore.session
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from tests.wire.embeddings.worlds import CONTEXT, deployment, target

from pllm.wire.lane import Lane
from pllm.wire.openai_media import ENDPOINTS, json_request
from pllm.wire.rerank import RerankCall

COHERE = ("cohere", "rerank-v3.5")
BEDROCK_COHERE = ("bedrock", "cohere.rerank-v3-5:0")
BEDROCK_AMAZON = ("bedrock", "amazon.rerank-v1:0")

DOCUMENTS = ["Carson City is in Nevada.", {"text": "Washington, D.C. is the capital.", "id": 7}, "Capital punishment."]


def call(**body: Any) -> RerankCall:
    whole = {"model": "m", "query": "Which is the capital?", "documents": DOCUMENTS} | body
    return RerankCall(json_request(ENDPOINTS["rerank"], whole), whole)


def lane(of: tuple[str, str], target_changes: dict[str, Any] | None = None, **body: Any) -> Lane:
    found, _ = call(**body).lane(deployment(of), target(of, **(target_changes or {})), CONTEXT)
    return found


def sent(lane: Lane) -> Any:
    """The body; on Bedrock botocore has found it a valid InvokeModel request for the same path."""
    wire = lane.request
    if wire.path.endswith("/invoke"):
        model = _runtime().operation_model("InvokeModel")
        params = {"modelId": wire.model, "body": wire.body}
        report = ParamValidator().validate(params, model.input_shape)
        assert not report.has_errors(), report.generate_report()
        request = create_serializer(_runtime().metadata["protocol"]).serialize_to_request(params, model)
        assert (request["method"], request["url_path"]) == ("POST", f"/{wire.path}")
    return json.loads(wire.body)


@cache
def _runtime() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")
