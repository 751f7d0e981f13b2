"""Which credentials an entry has."""

from pathlib import Path

import pytest

from pllm.core.config import resolve
from pllm.core.config.loader import load
from pllm.core.deployment import AwsKeys, Deployment
from pllm.core.profile import ModelProfile
from pllm.core.secret import Secret
from pllm.providers.deployments import Built, build
from pllm.providers.registry import Registry

JSON = '{"type": "service_account", "project_id": "p"}'


def built(params: str, **variables: str) -> Built:
    text = f"model_list: [{{model_name: m, params: {{{params}}}}}]"
    config = resolve(load(text).config, variables.get).config
    return build(config, Registry(), variables, lambda provider, model: ModelProfile())


def one(params: str, **variables: str) -> Deployment:
    (deployment,) = built(params, **variables).catalogue.models["m"]
    return deployment


def refused(params: str, **variables: str) -> str:
    made = built(params, **variables)
    assert made.catalogue.models == {}
    return made.catalogue.disabled["m"]


def test_googles_json_is_the_credential_of_a_vertex_entry() -> None:
    deployment = one("model: vertex/gemini-x, credentials: '${GOOGLE}'", GOOGLE=JSON)
    assert deployment.api_key == Secret(JSON)


def test_a_path_is_read_when_the_gateway_starts(tmp_path: Path) -> None:
    file = tmp_path / "sa.json"
    file.write_text(JSON)
    assert one(f"model: vertex/gemini-x, credentials: '{file}'").api_key == Secret(JSON)


def test_an_entrys_own_credentials_go_before_the_environments() -> None:
    google = one("model: vertex/gemini-x, credentials: '${G}'", G=JSON, VERTEX_API_KEY="AIza")
    assert google.api_key == Secret(JSON)
    aws = one("model: bedrock/x, aws_access_key_id: AKID, aws_secret_access_key: s", AWS_BEARER_TOKEN_BEDROCK="b")
    assert aws.api_key is None
    assert aws.aws == AwsKeys("AKID", Secret("s"))


def test_aws_keys_keep_their_session_token_and_do_not_print() -> None:
    params = "model: bedrock/x, aws_access_key_id: AKID, aws_secret_access_key: hush, aws_session_token: quiet"
    deployment = one(params)
    assert deployment.aws == AwsKeys("AKID", Secret("hush"), Secret("quiet"))
    assert "hush" not in repr(deployment) and "quiet" not in repr(deployment)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ("model: vertex/x, credentials: /nowhere/sa.json", "cannot be read (FileNotFoundError)"),
        ("model: openai/x, api_key: k, credentials: '{}'", "OpenAI does not take them"),
        ("model: openai/x, api_key: k, aws_access_key_id: a, aws_secret_access_key: b", "OpenAI does not take them"),
        ("model: vertex/x, api_key: k, credentials: '{}'", "'api_key' and 'credentials' are both given"),
        ("model: bedrock/x, api_key: k, aws_access_key_id: a, aws_secret_access_key: b", "are both given"),
        ("model: bedrock/x, aws_access_key_id: a", "belong together"),
        ("model: bedrock/x, aws_session_token: a", "belong together"),
    ],
)
def test_credentials_that_would_be_passed_over_disable_the_entry_and_say_why(params: str, why: str) -> None:
    assert why in refused(params)


def test_a_file_that_holds_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sa.json"
    file.write_text("ya29.not-json")
    assert "holds no JSON object" in refused(f"model: vertex/x, credentials: '{file}'")


@pytest.mark.parametrize("params", ["model: openai/x", "model: openai/x, api_key: '${OPENAI_API_KEY}'"])
def test_the_line_break_at_the_end_of_a_keys_file_is_none_of_the_key(params: str) -> None:
    assert one(params, OPENAI_API_KEY="sk-1\n").api_key == Secret("sk-1")


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "sk-1\x00", "sk\t1"])
def test_a_key_that_no_header_can_carry_is_told_of_where_the_gateway_starts(key: str) -> None:
    why = refused("model: openai/x", OPENAI_API_KEY=key)
    assert "API key has a line break or another control character" in why
    assert "sk" not in why
