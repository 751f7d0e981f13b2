"""infra/template.yaml: what is deployed, who may do what, and what outlives the stack."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
Template = dict[str, Any]

SERVING = ("GatewayFunction", "AdminFunction")
FUNCTIONS = (*SERVING, "RollupFunction")
SERVING_ROLES = ("GatewayRole", "AdminRole")
# The longest that API Gateway waits for an answer that is not streamed.
BUFFERED_TIMEOUT_S = 29
READING = {"dynamodb:GetItem", "dynamodb:Query"}


def complaints(text: str) -> list[str]:
    return [str(match) for match in lint(text, config=ManualArgs(regions=["us-east-1", "eu-central-1"]))]


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def events(template: Template, function: str) -> dict[str, dict[str, Any]]:
    return {name: event["Properties"] for name, event in properties(template, function)["Events"].items()}


def roles(template: Template) -> list[str]:
    return [name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::IAM::Role"]


def taken_by(template: Template, role: str) -> str:
    """The service that acts in the role."""
    [trust] = properties(template, role)["AssumeRolePolicyDocument"]["Statement"]
    return str(trust["Principal"]["Service"])


def statements(template: Template, role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Policy name and statement, of conditional policies as well."""
    for policy in properties(template, role)["Policies"]:
        chosen = policy["Fn::If"][1] if "Fn::If" in policy else policy
        for statement in chosen["PolicyDocument"]["Statement"]:
            for branch in branches(statement):
                yield chosen["PolicyName"], branch


def branches(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an element of a list may become."""
    if "Fn::If" in value:
        _, *choices = value["Fn::If"]
        for choice in choices:
            yield from branches(choice)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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


def test_what_only_health_probes_need_the_roll_up_may_only_with_them(template: Template) -> None:
    switched = {
        policy["Fn::If"][1]["PolicyName"]: policy["Fn::If"][0]
        for policy in properties(template, "RollupRole")["Policies"]
        if "Fn::If" in policy
    }
    assert switched == {
        "probes": "WithProbes",
        "bedrock": "ProbesOnBedrock",
        "config": "ProbesByConfigElsewhere",
        "tracing": "WithTracing",
    }
    pointer, health, secret = (one for policy, one in statements(template, "RollupRole") if policy == "probes")
    assert pointer["Action"] == "dynamodb:GetItem"
    assert pointer["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["C"]}}
    assert health["Action"] == ["dynamodb:Query", "dynamodb:UpdateItem"]
    assert health["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["H#*"]}}
    assert (secret["Action"], secret["Resource"]) == ("secretsmanager:GetSecretValue", {"Ref": "ProviderKeys"})
    [bedrock] = [one for policy, one in statements(template, "RollupRole") if policy == "bedrock"]
    [gateway] = [one for policy, one in statements(template, "GatewayRole") if policy == "bedrock"]
    assert (bedrock["Action"], bedrock["Resource"]) == ("bedrock:InvokeModel", gateway["Resource"])


def test_without_health_probes_the_roll_up_sees_usage_and_nothing_else(template: Template) -> None:
    policies = [policy["PolicyName"] for policy in properties(template, "RollupRole")["Policies"] if "Fn::If" not in policy]
    assert policies == ["logs", "state"]
    [statement] = table_statements(template, "RollupRole")
    assert statement["Action"] == ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"]
    assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["U#*"]}}


def test_no_role_has_a_wildcard_action(template: Template) -> None:
    for role in roles(template):
        for policy, statement in statements(template, role):
            assert all("*" not in action for action in as_list(statement["Action"])), (role, policy)
            assert statement["Effect"] == "Allow"
            assert "NotAction" not in statement
            assert "NotResource" not in statement


def test_only_x_ray_which_knows_no_resources_gets_all_of_them(template: Template) -> None:
    for role in roles(template):
        for policy, statement in statements(template, role):
            if "*" in as_list(statement["Resource"]):
                assert policy == "tracing"
                assert set(statement["Action"]) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def test_every_function_has_a_role_and_a_log_group_of_its_own(template: Template) -> None:
    used_roles = [properties(template, function)["Role"]["Fn::GetAtt"][0] for function in FUNCTIONS]
    used_groups = [properties(template, function)["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS]
    assert sorted(used_roles) == sorted(role for role in roles(template) if taken_by(template, role) == "lambda.amazonaws.com")
    assert len(set(used_groups)) == len(FUNCTIONS)
    for role, group in zip(used_roles, used_groups, strict=True):
        assert properties(template, group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        logging = [statement for policy, statement in statements(template, role) if policy == "logs"]
        assert [statement["Resource"] for statement in logging] == [{"Fn::GetAtt": [group, "Arn"]}]


def table_statements(template: Template, role: str) -> list[dict[str, Any]]:
    return [statement for policy, statement in statements(template, role) if policy == "state"]


def test_the_data_plane_may_count_but_not_make_keys_or_configuration(template: Template) -> None:
    table = table_statements(template, "GatewayRole")
    assert all(statement["Resource"] == {"Fn::GetAtt": ["Table", "Arn"]} for statement in table)
    written = {
        action: statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
        for statement in table
        for action in as_list(statement["Action"])
        if action not in READING
    }
    assert written == {"dynamodb:UpdateItem": ["G#*", "H#*", "U#*", "R#*", "I#*"], "dynamodb:DeleteItem": ["R#*"]}


def test_the_roles_allow_what_the_store_asks_of_the_table_and_no_more(template: Template) -> None:
    source = (ROOT / "layers/pllm/pllm/state/table.py").read_text("utf-8")
    called = {"".join(map(str.title, name.split("_"))) for name in re.findall(r"""_call\(\s*"([a-z_]+)\"""", source)}
    # A transaction has no permission of its own: it needs those of its parts.
    parts = {f"{part}Item" for part in re.findall(r"""return \{"(Update|Delete|Put|ConditionCheck)":""", source)}
    operations = (called | parts) - {"TransactWriteItems"}
    assert {"GetItem", "UpdateItem"} <= operations
    for role in SERVING_ROLES:
        allowed = {action for statement in table_statements(template, role) for action in as_list(statement["Action"])}
        assert allowed == {f"dynamodb:{operation}" for operation in operations}


def test_every_role_reads_one_secret_and_writes_none(template: Template) -> None:
    for role in SERVING_ROLES:
        secret = [statement for policy, statement in statements(template, role) if policy == "provider-keys"]
        assert [(statement["Action"], statement["Resource"]) for statement in secret] == [
            ("secretsmanager:GetSecretValue", {"Ref": "ProviderKeys"})
        ]


def test_bedrock_can_be_switched_off_and_is_for_the_data_plane_only(template: Template) -> None:
    policies = properties(template, "GatewayRole")["Policies"]
    switched = {policy["Fn::If"][1]["PolicyName"]: policy["Fn::If"][0] for policy in policies if "Fn::If" in policy}
    assert switched["bedrock"] == "WithBedrock"
    assert all(not policy.startswith("bedrock") for policy, _ in statements(template, "AdminRole"))
    [statement] = [statement for policy, statement in statements(template, "GatewayRole") if policy == "bedrock"]
    kinds = [re.sub(r"\$\{[^}]*\}", "", resource["Fn::Sub"]).split(":", 5)[5] for resource in statement["Resource"]]
    assert kinds == ["foundation-model/*", "inference-profile/*", "application-inference-profile/*"]


@pytest.mark.parametrize("role", ["GatewayRole", "AdminRole", "RollupRole"])
def test_a_configuration_elsewhere_may_be_read_there_and_nowhere_else(template: Template, role: str) -> None:
    [(condition, policy)] = [
        (policy["Fn::If"][0], policy["Fn::If"][1])
        for policy in properties(template, role)["Policies"]
        if "Fn::If" in policy and policy["Fn::If"][1]["PolicyName"] == "config"
    ]
    source, key = policy["PolicyDocument"]["Statement"]
    elsewhere = "ProbesByConfigElsewhere" if role == "RollupRole" else "ConfigElsewhere"
    assert (condition, source["Fn::If"][0], key["Fn::If"][0]) == (elsewhere, "ConfigInS3", "ConfigEncrypted")
    assert source["Fn::If"][2]["Fn::If"][0] == "ConfigInSsm"
    found = dict(zip(("s3", "ssm", "appconfig", "key"), [*branches(source), *branches(key)], strict=True))
    assert {name: statement["Action"] for name, statement in found.items()} == {
        "s3": "s3:GetObject",
        "ssm": "ssm:GetParameter",
        "appconfig": ["appconfig:StartConfigurationSession", "appconfig:GetLatestConfiguration"],
        "key": "kms:Decrypt",
    }
    assert found["s3"]["Resource"]["Fn::Sub"].endswith(":s3:::${ConfigLocation}")
    assert found["ssm"]["Resource"]["Fn::Sub"].endswith(":parameter/${ConfigLocation}")
    assert found["key"]["Resource"] == {"Ref": "ConfigKeyArn"}
    pattern, parts = found["appconfig"]["Resource"]["Fn::Sub"]
    assert pattern.endswith(":application/${App}/environment/${Env}/configuration/${Profile}")
    location = "a1b2c3d/e4f5a6b/c7d8e9f"
    assert [part_of(parts[name], location) for name in ("App", "Env", "Profile")] == location.split("/")
    assert part_of(parts["Profile"], "bucket") == ""


def part_of(expression: Any, location: str) -> str:
    """The value of Select, Split and Sub over the location."""
    index, split = expression["Fn::Select"]
    separator, joined = split["Fn::Split"]
    return str(str(joined["Fn::Sub"]).replace("${ConfigLocation}", location).split(separator)[index])


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
