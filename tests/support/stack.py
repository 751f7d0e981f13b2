"""How tests read infra/template.yaml."""

from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]


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
