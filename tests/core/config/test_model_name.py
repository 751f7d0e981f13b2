import pytest

from pllm.core.config import split_model


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("gpt-4", (None, "gpt-4")),
        ("azure/my-deployment-name", ("azure", "my-deployment-name")),
        ("openai/gpt-4-turbo", ("openai", "gpt-4-turbo")),
        ("openrouter/anthropic/claude-3-sonnet", ("openrouter", "anthropic/claude-3-sonnet")),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", (None, "arn:aws:bedrock:us-east-1:1:inference-profile/x")),
        (
            "bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/x",
            ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/x"),
        ),
        ("azure/", (None, "azure/")),
        ("/x", (None, "/x")),
    ],
)
def test_a_model_is_split_at_its_first_slash(model: str, parts: tuple[str | None, str]) -> None:
    assert split_model(model) == parts
