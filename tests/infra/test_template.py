"""infra/template.yaml: what is deployed, how it is reached, and what outlives the stack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from tests.support.stack import Template, events, properties

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"

SERVING = ("GatewayFunction", "AdminFunction")
FUNCTIONS = (*SERVING, "RollupFunction")
SERVING_ROLES = ("GatewayRole", "AdminRole")
# The longest that API Gateway waits for an answer that is not streamed.
BUFFERED_TIMEOUT_S = 29


def complaints(text: str) -> list[str]:
    return [str(match) for match in lint(text, config=ManualArgs(regions=["us-east-1", "eu-central-1"]))]


def test_the_linter_has_nothing_to_say() -> None:
    assert complaints(TEMPLATE.read_text("utf-8")) == []


def test_the_linter_would_see_a_mistake() -> None:
    broken = TEMPLATE.read_text("utf-8").replace("BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_MONTH")
    assert any("PAY_PER_MONTH" in complaint for complaint in complaints(broken))


@pytest.mark.slow
def test_sam_accepts_it(sam: Path) -> None:
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    checked = subprocess.run(
        [sam, "validate", "--lint", "--template", TEMPLATE], capture_output=True, text=True, env=environment, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_api_is_regional_because_an_edge_endpoint_ends_silent_streams_after_30_seconds(template: Template) -> None:
    assert properties(template, "Api")["EndpointConfiguration"] == {"Type": "REGIONAL"}


def test_every_path_of_the_data_plane_streams(template: Template) -> None:
    paths = {event["Path"]: event for event in events(template, "GatewayFunction").values()}
    assert set(paths) == {"/", "/{proxy+}", "/iam/v1/{proxy+}"}
    assert {event.get("ResponseTransferMode") for event in paths.values()} == {"RESPONSE_STREAM"}
    assert {event["Method"] for event in paths.values()} == {"ANY"}


def test_the_mode_of_each_function_is_the_one_its_events_ask_for(template: Template) -> None:
    for function in SERVING:
        mode = properties(template, function)["Environment"]["Variables"]["LAMBDA_STREAM_MODE"]
        transfers = {event.get("ResponseTransferMode", "BUFFERED") for event in events(template, function).values()}
        assert transfers == {{"stream": "RESPONSE_STREAM", "buffered": "BUFFERED"}[mode]}


def test_no_event_waits_longer_than_its_function_lives(template: Template) -> None:
    for function in SERVING:
        timeout_ms = properties(template, function)["Timeout"] * 1000
        for event in events(template, function).values():
            assert event.get("TimeoutInMillis", 0) <= timeout_ms
    assert properties(template, "GatewayFunction")["Timeout"] == 900
    assert properties(template, "AdminFunction")["Timeout"] <= BUFFERED_TIMEOUT_S


def test_only_the_iam_paths_ask_for_a_signature(template: Template) -> None:
    for function in SERVING:
        for event in events(template, function).values():
            if event["Path"].startswith("/iam/"):
                assert event["Auth"] == {"Authorizer": "AWS_IAM", "InvokeRole": "NONE"}
            else:
                assert "Auth" not in event


def test_the_control_plane_answers_its_own_paths(template: Template) -> None:
    paths = {event["Path"] for event in events(template, "AdminFunction").values()}
    assert paths == {"/v1/admin/{proxy+}", "/api/admin/{proxy+}", "/metrics", "/ui", "/ui/{proxy+}"}


def test_the_roll_up_runs_every_hour_without_the_streaming_runtime(template: Template) -> None:
    wrapper = "AWS_LAMBDA_EXEC_WRAPPER"
    assert wrapper not in template["Globals"]["Function"]["Environment"]["Variables"]
    assert all(wrapper in properties(template, function)["Environment"]["Variables"] for function in SERVING)
    rollup = properties(template, "RollupFunction")
    assert wrapper not in rollup.get("Environment", {}).get("Variables", {})
    assert [event["Schedule"] for event in events(template, "RollupFunction").values()] == [
        "cron(5 * * * ? *)",
        "rate(5 minutes)",
    ]


def test_health_probes_run_only_where_they_are_switched_on(template: Template) -> None:
    from pllm.rollup import PROBES

    hourly, probes = events(template, "RollupFunction").values()
    assert "Input" not in hourly
    assert json.loads(probes["Input"]) == {"job": PROBES}
    assert probes["State"] == {"Fn::If": ["WithProbes", "ENABLED", "DISABLED"]}
    assert template["Parameters"]["HealthProbes"]["Default"] == "off"
    conditions = template["Conditions"]
    assert conditions["WithProbes"] == {"Fn::Equals": [{"Ref": "HealthProbes"}, "on"]}
    assert conditions["ProbesOnBedrock"] == {"Fn::And": [{"Condition": "WithProbes"}, {"Condition": "WithBedrock"}]}
    assert conditions["ProbesByConfigElsewhere"] == {"Fn::And": [{"Condition": "WithProbes"}, {"Condition": "ConfigElsewhere"}]}


def test_the_sources_of_the_configuration_are_those_that_the_functions_know(template: Template) -> None:
    from pllm.providers.config_sources import SCHEMES

    sources = template["Parameters"]["ConfigSource"]["AllowedValues"]
    assert sorted(f"{source}://" for source in sources if source != "packaged") == sorted(SCHEMES)
    chosen = template["Globals"]["Function"]["Environment"]["Variables"]["PLLM_CONFIG"]["Fn::If"]
    assert chosen == ["ConfigElsewhere", {"Fn::Sub": "${ConfigSource}://${ConfigLocation}"}, "/opt/config/config.json"]
    location = re.compile(template["Parameters"]["ConfigLocation"]["AllowedPattern"])
    assert all(location.fullmatch(text) for text in ("bucket/a b/c.yaml", "pllm", "pllm/prod/config", "a/b/c"))
    assert not any(location.fullmatch(text) for text in ("", "/pllm/config", "bucket/*", "bucket/config?.yaml", "*"))
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": "ConfigLocation"}, template["Parameters"]["ConfigLocation"]["Default"]]}]} in [
        assertion["Assert"] for assertion in template["Rules"]["ConfigSourceNeedsALocation"]["Assertions"]
    ]


def test_the_table_outlives_the_stack_and_can_be_restored(template: Template) -> None:
    table = template["Resources"]["Table"]
    assert table["DeletionPolicy"].startswith("Retain")
    assert table["UpdateReplacePolicy"] == "Retain"
    settings = table["Properties"]
    assert settings["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert settings["DeletionProtectionEnabled"] == {"Ref": "TableDeletionProtection"}
    assert settings["SSESpecification"] == {"SSEEnabled": True}
    assert settings["BillingMode"] == "PAY_PER_REQUEST"
    assert settings["TimeToLiveSpecification"] == {"AttributeName": "exp", "Enabled": True}
    assert [key["AttributeName"] for key in settings["KeySchema"]] == ["PK", "SK"]


def test_the_master_key_is_generated_strong_and_kept_out_of_the_template(template: Template) -> None:
    generated = properties(template, "ProviderKeys")["GenerateSecretString"]
    assert json.loads(generated["SecretStringTemplate"]) == {}
    assert generated["GenerateStringKey"] == "PLLM_MASTER_KEY"
    # Letters and digits: 62 to the power of 48 is more than 256 bits.
    assert generated["PasswordLength"] >= 43
    assert generated["ExcludePunctuation"] is True
    variables = [
        name for function in FUNCTIONS for name in properties(template, function).get("Environment", {}).get("Variables", {})
    ]
    assert not any(re.search("KEY|TOKEN|PASSWORD", name) for name in variables)


def test_the_outputs_are_what_a_newcomer_needs(template: Template) -> None:
    outputs = template["Outputs"]
    assert {"Url", "SecretName", "FetchKey"} <= set(outputs)
    assert outputs["Url"]["Value"]["Fn::Sub"].endswith("/${StageName}/v1")
    assert outputs["SecretName"]["Value"]["Fn::Sub"] == properties(template, "ProviderKeys")["Name"]["Fn::Sub"]


def test_the_line_that_fetches_the_key_prints_it_and_nothing_else(template: Template) -> None:
    line = template["Outputs"]["FetchKey"]["Value"]["Fn::Sub"][0]
    assert "\n" not in line
    fetch, extract = line.split(" | ")
    assert fetch.startswith("aws secretsmanager get-secret-value ")
    assert "--query SecretString --output text" in fetch
    secret = json.dumps({"OPENAI_API_KEY": "sk-other", "PLLM_MASTER_KEY": "the-key"})
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    printed = subprocess.run(["sh", "-c", extract], input=secret, capture_output=True, text=True, env=environment, check=True)
    assert printed.stdout == "the-key\n"


def test_the_stack_id_gives_the_secret_a_name_that_is_free_again_after_a_deletion(template: Template) -> None:
    [_, names] = properties(template, "ProviderKeys")["Name"]["Fn::Sub"]
    stack_id = "arn:aws:cloudformation:us-east-1:123456789012:stack/my-gate-way/51af3dc0-da77-11e4-872e-1234567db123"
    assert evaluate(names["Id"], stack_id) == "1234567db123"


def evaluate(expression: Any, stack_id: str) -> Any:
    """The value of a CloudFormation expression of Select, Split and the stack's id."""
    if not isinstance(expression, dict):
        return expression
    [(function, arguments)] = expression.items()
    if function == "Ref":
        assert arguments == "AWS::StackId"
        return stack_id
    first, second = (evaluate(argument, stack_id) for argument in arguments)
    return second.split(first) if function == "Fn::Split" else second[first]


def test_snapstart_asks_for_a_runtime_that_has_it(template: Template) -> None:
    rule = template["Rules"]["SnapStartNeedsPython312"]
    assert {"Fn::Equals": [{"Ref": "Runtime"}, "python3.11"]} in rule["RuleCondition"]["Fn::And"]
    gateway = properties(template, "GatewayFunction")
    assert gateway["SnapStart"]["ApplyOn"] == {"Fn::If": ["WithSnapStart", "PublishedVersions", "None"]}
    assert gateway["AutoPublishAlias"] == "live"


def test_a_new_layer_publishes_a_new_version(template: Template) -> None:
    gateway = properties(template, "GatewayFunction")
    assert gateway["AutoPublishAliasAllProperties"] is True
    layers = [name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::Serverless::LayerVersion"]
    assert [name for name in layers if properties(template, name)["PublishLambdaVersion"] is not True] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_has_more_layers_than_lambda_takes(function: str, template: Template) -> None:
    assert len(template["Globals"]["Function"]["Layers"]) + len(properties(template, function).get("Layers", [])) <= 5


def test_the_interpreter_that_runs_the_tests_is_one_that_can_be_deployed(template: Template) -> None:
    runtime = template["Parameters"]["Runtime"]
    assert runtime["Default"] == "python3.13"
    assert f"python{sys.version_info.major}.{sys.version_info.minor}" in runtime["AllowedValues"]


def test_every_variable_the_template_sets_is_documented(template: Template) -> None:
    page = ROOT / "docs" / "environment.md"
    variables = dict(template["Globals"]["Function"]["Environment"]["Variables"])
    for function in FUNCTIONS:
        variables |= properties(template, function).get("Environment", {}).get("Variables", {})
    text = page.read_text("utf-8")
    assert [name for name in variables if f"`{name}`" not in text] == []


def test_every_parameter_says_what_it_is_for(template: Template) -> None:
    assert [name for name, parameter in template["Parameters"].items() if not parameter.get("Description")] == []


def test_a_collector_is_a_layer_of_the_data_plane_alone_and_may_write_to_x_ray(template: Template) -> None:
    with_one = ["WithCollector", {"Ref": "CollectorLayerArn"}, {"Ref": "AWS::NoValue"}]
    gateway = properties(template, "GatewayFunction")
    assert {"Fn::If": with_one} in gateway["Layers"]
    endpoint = gateway["Environment"]["Variables"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert endpoint == {"Fn::If": ["WithCollector", "http://localhost:4318", {"Ref": "AWS::NoValue"}]}
    assert all("WithCollector" not in str(properties(template, name)) for name in ("AdminFunction", "RollupFunction"))
    conditions = {name: str(template["Conditions"][name]) for name in ("WithTracing", "WithSegments")}
    assert "WithCollector" in conditions["WithSegments"]
    assert [
        role for role in ("GatewayRole", "AdminRole", "RollupRole") if "WithSegments" in str(properties(template, role))
    ] == ["GatewayRole"]
    pattern = re.compile(template["Parameters"]["CollectorLayerArn"]["AllowedPattern"])
    arns = ("", "arn:aws:lambda:eu-west-1:901920570463:layer:aws-otel-collector-arm64-ver-0-117-0:1", "collector")
    assert [bool(pattern.fullmatch(arn)) for arn in arns] == [True, True, False]


def test_the_metrics_namespace_is_one_parameter_for_those_who_write_and_those_who_read(template: Template) -> None:
    assert template["Globals"]["Function"]["Environment"]["Variables"]["PLLM_METRICS_NAMESPACE"] == {"Ref": "MetricsNamespace"}
    pattern = re.compile(template["Parameters"]["MetricsNamespace"]["AllowedPattern"])
    names = ("PLLM", "Staging/LLM", "AWS/Lambda", "a b", "", "x'y")
    assert [bool(pattern.fullmatch(name)) for name in names] == [True, True, False, False, False, False]
