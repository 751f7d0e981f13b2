import pytest

from pllm.core.config.problem import Path
from pllm.core.config.schema import Config, Limit, ModelEntry, Params, RouteModel
from pllm.core.config.section import Section
from pllm.core.config.validate import is_secret_path, section_at


@pytest.mark.parametrize(
    ("path", "cls"),
    [
        ((), Config),
        (("model_list", 3), ModelEntry),
        (("model_list", 3, "params"), Params),
        (("limits", "keys", "anyone"), Limit),
        (("limits", "default_key"), Limit),
        (("routes", 0, "models", 1), RouteModel),
        (("model_list",), None),
        (("model_list", 0, "model_name"), None),
        (("nowhere", "deeper"), None),
    ],
)
def test_the_section_at_a_path_is_known(path: Path, cls: type[Section] | None) -> None:
    assert section_at(path) is cls


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (("model_list", 0, "params", "api_key"), True),
        (("model_list", 0, "params", "api_key", 1), True),
        (("model_list", 0, "params", "headers", "authorization"), True),
        (("model_list", 0, "provider", "aws_secret_access_key"), True),
        (("auth", "master_key"), True),
        (("guardrails", 0, "api_key"), True),
        (("model_list", 0, "params", "model"), False),
        (("model_list", 0, "params", "max_tokens"), False),
        ((), False),
    ],
)
def test_paths_of_credentials_are_known(path: Path, secret: bool) -> None:
    assert is_secret_path(path) is secret
