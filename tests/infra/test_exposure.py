"""infra/template.yaml: what stands between the internet and the functions."""

import json
import re
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.support.stack import Template, properties

# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
REFUSALS = {
    "DEFAULT_4XX": [(429, "THROTTLED", "Too Many Requests"), (413, "REQUEST_TOO_LARGE", "Request Too Long")],
    "DEFAULT_5XX": [(504, "INTEGRATION_TIMEOUT", 'Endpoint "request" timed out')],
}
CASES = [(kind, *refusal) for kind, refusals in REFUSALS.items() for refusal in refusals]


def refused(template: Template, kind: str, status: int, response_type: str, message: str) -> httpx2.MockTransport:
    """API Gateway, refusing as the template says."""
    text = properties(template, "Api")["GatewayResponses"][kind]["ResponseTemplates"]["application/json"]
    values = {"messageString": json.dumps(message), "responseType": response_type}
    body = re.sub(r"\$context\.error\.(\w+)", lambda match: values[match[1]], text)
    headers = {"content-type": "application/json"}
    return httpx2.MockTransport(lambda request: httpx2.Response(status, text=body, headers=headers, request=request))


def of_openai(transport: httpx2.MockTransport) -> tuple[int, Any, str]:
    client = openai.OpenAI(api_key="k", base_url="http://g/v1", max_retries=0, http_client=httpx2.Client(transport=transport))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=[])
    return caught.value.status_code, caught.value.body, caught.value.message


def of_anthropic(transport: httpx2.MockTransport) -> tuple[int, Any, str]:
    client = anthropic.Anthropic(
        api_key="k", base_url="http://g", max_retries=0, http_client=httpx2.Client(transport=transport)
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[])
    body = caught.value.body
    assert isinstance(body, dict)
    return caught.value.status_code, body["error"], caught.value.message


@pytest.mark.parametrize("sdk", [of_openai, of_anthropic])
@pytest.mark.parametrize(("kind", "status", "response_type", "message"), CASES)
def test_what_api_gateway_refuses_the_official_sdks_understand(
    sdk: Callable[[httpx2.MockTransport], tuple[int, Any, str]],
    kind: str,
    status: int,
    response_type: str,
    message: str,
    template: Template,
) -> None:
    seen_status, error, shown = sdk(refused(template, kind, status, response_type, message))
    assert (seen_status, error["message"], error["code"]) == (status, message, response_type)
    assert message in shown


def test_what_limits_the_traffic_is_there_when_it_is_asked_for_and_only_then(template: Template) -> None:
    condition, [limit], otherwise = properties(template, "Api")["MethodSettings"]["Fn::If"]
    assert (condition, otherwise) == ("WithRequestsPerSecond", {"Ref": "AWS::NoValue"})
    assert limit == {
        "HttpMethod": "*",
        "ResourcePath": "/*",
        "ThrottlingRateLimit": {"Ref": "RequestsPerSecond"},
        "ThrottlingBurstLimit": {"Ref": "RequestBurst"},
    }
    reserved = properties(template, "GatewayFunction")["ReservedConcurrentExecutions"]
    assert reserved == {"Fn::If": ["WithConcurrency", {"Ref": "GatewayConcurrency"}, {"Ref": "AWS::NoValue"}]}
    for condition, name in (("WithConcurrency", "GatewayConcurrency"), ("WithRequestsPerSecond", "RequestsPerSecond")):
        assert template["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, 0]}]}
        assert template["Parameters"][name]["Default"] == 0


def test_a_web_acl_stands_before_the_stage(template: Template) -> None:
    acl = template["Resources"]["WebAcl"]
    assert acl["Condition"] == "WithWebAcl"
    assert acl["Properties"]["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${Api}/stages/${Api.Stage}")
    arn = re.compile(template["Parameters"]["WebAclArn"]["AllowedPattern"])
    regional = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/name/11111111-2222-3333-4444-555555555555"
    assert arn.fullmatch("")
    assert arn.fullmatch(regional)
    # Those are for CloudFront.
    assert not arn.fullmatch(regional.replace("regional/", "global/"))


def test_nothing_but_the_api_is_open_to_the_internet(template: Template) -> None:
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not kinds & {"AWS::Lambda::Url", "AWS::Serverless::HttpApi", "AWS::Lambda::Permission"}
    functions = [one for one in template["Resources"].values() if one["Type"] == "AWS::Serverless::Function"]
    assert not any("FunctionUrlConfig" in one["Properties"] for one in functions)


def test_api_gateway_writes_no_bodies_down(template: Template) -> None:
    settings = json.dumps(properties(template, "Api"))
    assert "DataTraceEnabled" not in settings
    assert "LoggingLevel" not in settings
