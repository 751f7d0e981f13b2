from dataclasses import replace
from typing import Any

import pytest

from pllm.core.errors import GatewayError
from pllm.core.key_rules import check_grace, check_key, check_team, check_team_id
from pllm.core.keys import Allowance, KeyFields, TeamFields
from pllm.core.limits import BudgetLimit

NOW_S = 1_800_000_000
FIELDS = KeyFields("ci")


def test_what_is_usual_is_allowed() -> None:
    check_key(FIELDS, NOW_S)
    allowance = Allowance(1, 10**12, 1, BudgetLimit(0, "total", "America/Los_Angeles"))
    check_key(
        KeyFields("Größe 1", "search", ("a/*", "[x]"), ("chat",), "admin", allowance, NOW_S + 1, {"a": ""}, ("é",)), NOW_S
    )
    check_team(TeamFields("Search", allowance=allowance))
    check_team_id("Search.2:x@y_z-1")
    check_grace(0)


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"name": ""}, "name", "1 to 128"),
        ({"name": "x" * 129}, "name", "1 to 128"),
        ({"name": " x"}, "name", "without spaces around"),
        ({"name": "a\nb"}, "name", "printable"),
        ({"name": "a\x1b[31m"}, "name", "printable"),
        ({"team": "a#b"}, "team", "letters"),
        ({"team": ""}, "team", "letters"),
        ({"models": ()}, "models", '["*"]'),
        ({"models": ("ok", "")}, "models", "models[1]"),
        ({"models": ("x",) * 101}, "models", "1 to 100"),
        ({"scopes": ()}, "scopes", "no scope"),
        ({"scopes": ("chat", "char")}, "scopes", "unknown scope 'char'"),
        ({"role": "root"}, "role", "admin, viewer, user"),
        ({"allowance": Allowance(rpm=0)}, "rpm", "from 1"),
        ({"allowance": Allowance(tpm=-1)}, "tpm", "from 1"),
        ({"allowance": Allowance(max_parallel=10**13)}, "max_parallel", "from 1"),
        ({"allowance": Allowance(budget=BudgetLimit(-1))}, "budget.amount_usd", "from 0"),
        ({"allowance": Allowance(budget=BudgetLimit(1, "year"))}, "budget.period", "month"),  # type: ignore[arg-type]
        ({"allowance": Allowance(budget=BudgetLimit(1, "day", "Mars/Olympus"))}, "budget.timezone", "Mars/Olympus"),
        ({"allowance": Allowance(budget=BudgetLimit(1, "day", "../../etc/passwd"))}, "budget.timezone", "Europe/Berlin"),
        ({"expires_s": NOW_S}, "expires_at", "in the future"),
        ({"expires_s": NOW_S + 10**11}, "expires_at", "hundred years"),
        ({"metadata": {"": "x"}}, "metadata", "32 pairs"),
        ({"metadata": {"a": "x" * 513}}, "metadata", "512"),
        ({"metadata": {str(n): "" for n in range(33)}}, "metadata", "32 pairs"),
        ({"tags": ("a", "a")}, "tags", "different"),
        ({"tags": ("",)}, "tags", "1 to 64"),
    ],
)
def test_what_will_not_do_is_named_with_what_would(changes: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(GatewayError) as refusal:
        check_key(replace(FIELDS, **changes), NOW_S)
    assert (refusal.value.status, refusal.value.param) == (400, param)
    assert words in refusal.value.message


@pytest.mark.parametrize("team_id", ["", "#", "a b", "-a", "a" * 65, "ä", "a/b", "a\n"])
def test_a_team_id_is_plain(team_id: str) -> None:
    with pytest.raises(GatewayError, match="'id' must be"):
        check_team_id(team_id)


@pytest.mark.parametrize("grace_s", [-1, 30 * 86_400 + 1])
def test_a_grace_has_an_end(grace_s: int) -> None:
    with pytest.raises(GatewayError, match="grace_seconds"):
        check_grace(grace_s)


def test_a_team_is_held_to_the_same_rules() -> None:
    for fields in (TeamFields(""), TeamFields("x", models=()), TeamFields("x", allowance=Allowance(rpm=0))):
        with pytest.raises(GatewayError):
            check_team(fields)
