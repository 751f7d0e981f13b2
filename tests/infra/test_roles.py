"""infra/template.yaml: who may do what. Each role is compared with what the code that runs in it asks for."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any

import cfnlint
import pytest
from tests.support.stack import Template, as_list, branches, properties, roles, statements, taken_by
from tests.support.traffic import run

from pllm.core.clock import ManualClock
from pllm.core.limits import BudgetLimit, GateLimits, Reservation, Spent
from pllm.state.answers import StoredAnswers
from pllm.state.gate import Gates
from pllm.state.gate_outage import GatePolicy
from pllm.state.gate_ticket import Ticket
from pllm.state.idempotency import Answer, Claim, Idempotency
from pllm.state.memory import MemoryStore
from pllm.state.store import Applied, Item, Refused, Rejected, Update, Write
from pllm.state.usage_rollup import RollUp
from pllm.wire.bedrock_converse import upstream
from pllm.wire.lane import Target
from pllm.wire.neutral import Message, Request, Text
from pllm.wire.openai_responses import StoredResponse

ROOT = Path(__file__).resolve().parents[2]

FUNCTIONS = ("GatewayFunction", "AdminFunction", "RollupFunction")
SERVING_ROLES = ("GatewayRole", "AdminRole")
READING = {"dynamodb:GetItem", "dynamodb:Query"}
CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"


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
    bedrock = {one["Action"]: one["Resource"] for policy, one in statements(template, "RollupRole") if policy == "bedrock"}
    gateway = [one for policy, one in statements(template, "GatewayRole") if policy == "bedrock"]
    asked = {action: one["Resource"] for one in gateway for action in as_list(one["Action"])}
    assert bedrock == {action: asked[action] for action in ("bedrock:CountTokens", "bedrock:InvokeModel")}


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
    allowed = {
        action: statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        for statement in table
        for action in as_list(statement["Action"])
    }
    read = ["G#*", "H#*", "U#*", "R#*", "I#*", "K#*", "TL", "C"]
    assert {action: allowed.pop(action) for action in READING} == dict.fromkeys(READING, read)
    assert allowed == {"dynamodb:UpdateItem": ["G#*", "H#*", "U#*", "R#*", "I#*"], "dynamodb:DeleteItem": ["R#*"]}


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


def bedrock_kinds(template: Template) -> dict[str, set[str]]:
    """Kinds of resources by action, of what the data plane may do at Bedrock."""
    return {
        action: {re.sub(r"\$\{[^}]*\}", "", one["Fn::Sub"]).split(":", 5)[5] for one in as_list(statement["Resource"])}
        for policy, statement in statements(template, "GatewayRole")
        if policy == "bedrock"
        for action in as_list(statement["Action"])
    }


def test_the_data_plane_may_do_at_bedrock_what_its_wire_asks_for(template: Template) -> None:
    hello, target = Request(CLAUDE, (Message("user", (Text("hi"),)),)), Target(CLAUDE, "claude", "bedrock")
    sent = [upstream.encode(replace(hello, stream=stream), target).request for stream in (False, True)]
    paths = [request.path.rpartition("/")[2] for request in (*sent, upstream.encode_count(hello, target))]
    # Converse has no permission of its own.
    needed = {"converse": "InvokeModel", "converse-stream": "InvokeModelWithResponseStream", "count-tokens": "CountTokens"}
    assert set(paths) == set(needed)
    guarding = {"bedrock:ApplyGuardrail"}  # guardrailConfig in a request
    assert set(bedrock_kinds(template)) == {f"bedrock:{action}" for action in needed.values()} | guarding


def test_every_kind_of_model_that_bedrock_can_be_asked_for_is_allowed(template: Template) -> None:
    table = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    known = json.loads(table.read_text("utf-8"))["bedrock"]["Actions"]
    # Asked for by other requests than ours, or with permissions of SageMaker's.
    others = {"async-invoke", "project", "system-tool", "bedrock-marketplace-model-endpoint"}
    for action, kinds in bedrock_kinds(template).items():
        assert kinds == {f"{kind}/*" for kind in set(known[action.removeprefix("bedrock:").lower()]["Resources"]) - others}


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


class Policed(MemoryStore):
    """A table that lets one role do what the template allows it, as IAM would: by operation and by the partition's name."""

    def __init__(self, template: Template, role: str) -> None:
        super().__init__()
        self._allowed: dict[str, list[str]] = {}
        self.written: set[str] = set()
        # Some callers go on without the table, so an exception alone might not be seen.
        self.refused: list[tuple[str, str]] = []
        for statement in table_statements(template, role):
            names = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ["*"])
            for action in as_list(statement["Action"]):
                self._allowed.setdefault(action.removeprefix("dynamodb:"), []).extend(names)

    def _ask(self, action: str, pk: str) -> None:
        if not any(fnmatchcase(pk, name) for name in self._allowed.get(action, [])):
            self.refused.append((action, pk))
            raise PermissionError(f"the role may not {action} {pk}")
        if action not in ("GetItem", "Query"):
            self.written.add(pk.partition("#")[0])

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        self._ask("GetItem", pk)
        return await super().get(pk, sk, consistent=consistent)

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        self._ask("Query", pk)
        return await super().query(pk, since=since, until=until, consistent=consistent)

    async def update(self, update: Update) -> Applied | Refused:
        self._ask("UpdateItem", update.pk)
        return await super().update(update)

    async def delete(self, pk: str, sk: str) -> Item | None:
        self._ask("DeleteItem", pk)
        return await super().delete(pk, sk)

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        for write in writes:
            self._ask("UpdateItem" if isinstance(write, Update) else "DeleteItem", write.pk)
        return await super().transact(writes, token)


async def test_the_data_planes_role_lets_it_do_all_of_its_work_at_the_table(template: Template) -> None:
    table, clock = Policed(template, "GatewayRole"), ManualClock()
    await run(200, store=table)
    for exact in (False, True):
        gates = Gates(table, clock, Random(1), GatePolicy(exact=exact), lambda event: None)
        ticket = await gates.admit([GateLimits("key/a", rpm=5, budget=BudgetLimit(100, "day"))], Reservation(1, 1))
        assert isinstance(ticket, Ticket)
        await gates.settle(ticket, Spent(1, 48))
    keeper = Idempotency(table, clock, lambda: "owner")
    claim = await keeper.claim("alice", "k", b"1" * 32, 100)
    assert isinstance(claim, Claim)
    await keeper.finish(claim, Answer(200, {}, b"x" * 1_000_000))
    answers = StoredAnswers(table)
    await answers.put(StoredResponse({"id": "resp_1", "output": []}, (), 10_000_000_000), "alice")
    assert await answers.delete("resp_1", "alice", clock.wall_s())
    assert table.refused == []
    assert table.written == {"G", "H", "U", "R", "I"}


async def test_the_roll_ups_role_lets_it_make_hours_and_days(template: Template) -> None:
    traffic = await run(50)
    table = Policed(template, "RollupRole")
    table.items.update(traffic.store.items)
    traffic.clock.advance(26 * 3600)
    made = await RollUp(table, traffic.clock, lambda line: None).run()
    assert made.rows > 0
    assert table.refused == []
    assert table.written == {"U"}


async def test_a_role_that_may_less_is_found_out(template: Template) -> None:
    with pytest.raises(PermissionError, match="may not UpdateItem K#1"):
        await Policed(template, "GatewayRole").update(Update("K#1", "K", set={"role": "admin"}))
