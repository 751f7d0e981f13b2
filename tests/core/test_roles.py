import pytest

from pllm.core.config.policies import IamPrincipal
from pllm.core.principal import Principal, outside_id
from pllm.core.roles import entry_for, never_matching, principal_id, role_arn


@pytest.mark.parametrize(
    ("caller", "known_as"),
    [
        ("arn:aws:sts::123456789012:assumed-role/dev/ana@x.y", "arn:aws:iam::123456789012:role/dev"),
        ("arn:aws-us-gov:sts::123456789012:assumed-role/a=b,c.d+e/s", "arn:aws-us-gov:iam::123456789012:role/a=b,c.d+e"),
        ("arn:aws:iam::123456789012:user/eng/ana", "arn:aws:iam::123456789012:user/eng/ana"),
        ("arn:aws:sts::123456789012:federated-user/ana", "arn:aws:sts::123456789012:federated-user/ana"),
        ("arn:aws:sts::123456789012:assumed-role/dev/a/b", "arn:aws:sts::123456789012:assumed-role/dev/a/b"),
    ],
)
def test_a_caller_is_known_by_its_role(caller: str, known_as: str) -> None:
    assert role_arn(caller) == known_as


def entries(*patterns: str) -> list[IamPrincipal]:
    return [IamPrincipal(arn=pattern, name=f"n{number}") for number, pattern in enumerate(patterns)]


def test_the_first_pattern_that_matches_the_whole_arn_decides() -> None:
    listed = entries("arn:aws:iam::1:role/a", "arn:aws:iam::*:role/a*", "*")
    assert [
        found.name for arn in ("arn:aws:iam::1:role/a", "arn:aws:iam::2:role/ab", "x") if (found := entry_for(arn, listed))
    ] == [
        "n0",
        "n1",
        "n2",
    ]
    assert entry_for("arn:aws:iam::1:role/ax", entries("arn:aws:iam::1:role/a")) is None


@pytest.mark.parametrize("pattern", ["arn:aws:iam::1:role/d?v", "arn:aws:iam::1:role/[a-z]ev", "arn.aws:iam::1:role/dev"])
def test_nothing_but_the_star_is_special(pattern: str) -> None:
    assert entry_for("arn:aws:iam::1:role/dev", entries(pattern)) is None


def test_a_pattern_with_a_path_is_warned_of_because_aws_leaves_paths_out() -> None:
    listed = entries(
        "arn:aws:iam::1:role/team/dev", "arn:aws:iam::1:role/*/dev", "arn:aws:iam::1:role/dev", "arn:aws:iam::1:user/a/b"
    )
    warnings = never_matching(listed)
    assert [text.split("'")[1] for text in warnings] == ["arn:aws:iam::1:role/team/dev", "arn:aws:iam::1:role/*/dev"]


def test_an_id_made_of_other_peoples_names_has_no_separator_in_it_and_stays_unique() -> None:
    assert principal_id("arn:aws:iam::1:role/dev", entries("*")[0]) == "iam/n0/1:role/dev"
    made = [outside_id("oidc", "x", name) for name in ("a", "a#b", "a%23b", "a b", "ä", "\ud800", "a" * 500, "a" * 501)]
    assert len(set(made)) == len(made)
    assert all(len(one) <= 200 and one.isascii() and "#" not in one and " " not in one for one in made)


def test_a_viewer_may_read_and_a_scope_confines() -> None:
    viewer = Principal("v", "viewer")
    assert viewer.may_call("GET", "/v1/models")
    assert not viewer.may_call("POST", "/v1/chat/completions")
    chat = Principal("c", scopes=("chat",))
    assert [chat.may_call("POST", f"/v1/{path}") for path in ("chat/completions", "chat", "chatter", "embeddings")] == [
        True,
        True,
        False,
        False,
    ]
    assert chat.may_call("GET", "/v1/models/x")


def test_a_model_must_please_the_key_and_its_team() -> None:
    principal = Principal("c", models=("gpt-*",), team_models=("*-mini", "x"))
    assert [principal.may_use(model) for model in ("gpt-4o-mini", "gpt-4o", "x", "o-mini")] == [True, False, False, False]
