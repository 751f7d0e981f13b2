"""The export of requests to S3: the table has what the code logs, and the saved queries count what clients saw."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast, get_args, get_origin, get_type_hints

import pytest
from tests.support.stack import Template, properties
from tests.support.traffic import Traffic, run

from pllm.core.errors import ErrorKind
from pllm.core.pricing import Counts
from pllm.core.record import RequestRecord
from pllm.telemetry.request_line import log_line

# Of the log line, and of no use in a table whose rows are all of one message: a level says what `error` and `status` say.
LEFT_OUT = {"level", "message"}
JSON_TYPES: dict[str, type] = {"string": str, "boolean": bool, "int": int, "bigint": int, "double": float}
INT_BITS = 31
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return asyncio.run(run(200))


def exported(template: Template) -> dict[str, dict[str, Any]]:
    found = template["Resources"].items()
    return {name: resource for name, resource in found if resource.get("Condition") == "WithRequestExport"}


def destination(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "ExportStream")["ExtendedS3DestinationConfiguration"]
    return found


def columns(template: Template) -> dict[str, str]:
    """Type by column."""
    described = properties(template, "ExportTable")["TableInput"]["StorageDescriptor"]["Columns"]
    found = {column["Name"]: column["Type"] for column in described}
    assert len(found) == len(described)
    return found


def keys(template: Template) -> dict[str, str]:
    """The log line's name of each column, as the deserializer is told."""
    reader = destination(template)["DataFormatConversionConfiguration"]["InputFormatConfiguration"]["Deserializer"]
    named = reader["OpenXJsonSerDe"]["ColumnToJsonKeyMappings"]
    assert set(named) <= set(columns(template))
    return {column: named.get(column, column) for column in columns(template)}


def fits(value: object, kind: str) -> bool:
    if kind == "array<string>":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is JSON_TYPES[kind] and (kind != "int" or int(str(value)).bit_length() <= INT_BITS)


def something(annotation: Any) -> Any:
    """A value of this type that no line leaves out."""
    inside = [one for one in get_args(annotation) if one not in (type(None), Ellipsis)]
    if get_origin(annotation) is list:
        return [something(inside[0])]
    if get_origin(annotation) is tuple:
        return (something(inside[0]),)
    if annotation.__name__ == "Used":
        return something(Counts)
    if is_dataclass(annotation):
        hints, make = get_type_hints(annotation), cast("type[Any]", annotation)
        return make(**{field.name: something(_present(hints[field.name])) for field in fields(annotation)})
    # Each number is larger than the one before, so that no span is empty.
    return {str: "x", int: next(_NUMBERS), float: next(_NUMBERS) + 0.5, bool: True}[annotation]


def _present(annotation: Any) -> Any:
    """The type without None."""
    inside = [one for one in get_args(annotation) if one is not type(None)]
    return inside[0] if type(None) in get_args(annotation) else annotation


def fullest() -> dict[str, Any]:
    """The longest line there can be, as JSON carries it."""
    line: dict[str, Any] = json.loads(json.dumps(log_line(something(RequestRecord), 1_800_000_000_000)))
    return line


def selected(template: Template, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that the subscription lets through."""
    pattern = properties(template, "ExportSubscription")["FilterPattern"]
    [(name, value)] = re.findall(r'^\{ \$\.(\w+) = "(\w+)" \}$', pattern)
    return [line for line in lines if line.get(name) == value]


def test_the_table_has_a_column_for_each_name_that_a_line_can_have_and_no_other(template: Template) -> None:
    assert sorted(keys(template).values()) == sorted(set(fullest()) - LEFT_OUT)


def test_every_value_of_the_longest_line_fits_its_column(template: Template) -> None:
    line, kinds = fullest(), columns(template)
    assert [column for column, key in keys(template).items() if not fits(line[key], kinds[column])] == []


def test_every_line_of_a_run_fits_its_columns(template: Template, traffic: Traffic) -> None:
    kinds, names = columns(template), keys(template)
    rows = selected(template, traffic.lines)
    assert len(rows) == traffic.seen.numbers["Requests"]
    wrong = {
        (column, type(row[key]).__name__)
        for row in map(json.loads, map(json.dumps, rows))
        for column, key in names.items()
        if key in row and not fits(row[key], kinds[column])
    }
    assert wrong == set()


def test_names_are_such_that_athena_needs_no_quotes(template: Template) -> None:
    names = [*columns(template), "requests", template["Parameters"]["RequestExportDatabase"]["Default"]]
    # Of its keywords, those that a log line could be tempted to use.
    keywords = {"timestamp", "date", "time", "order", "group", "user", "values", "interval", "row", "start", "end"}
    assert [name for name in names if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in keywords] == []


def test_days_are_where_the_table_looks_for_them(template: Template) -> None:
    table = properties(template, "ExportTable")["TableInput"]
    (partition,) = table["PartitionKeys"]
    settings = table["Parameters"]
    assert settings["projection.enabled"] == "true"
    assert (partition["Name"], settings["projection.day.type"]) == ("day", "date")
    assert "day" not in columns(template)
    pattern = settings["projection.day.format"]
    bucket, folder = destination(template)["BucketARN"]["Fn::GetAtt"][0], destination(template)["Prefix"]
    assert settings["storage.location.template"]["Fn::Sub"] == "s3://${" + bucket + "}/" + folder.replace(
        "!{timestamp:" + pattern + "}", "${!day}"
    )
    assert table["StorageDescriptor"]["Location"]["Fn::Sub"] == "s3://${" + bucket + "}/" + folder.partition("/")[0] + "/"
    assert not destination(template)["ErrorOutputPrefix"].startswith(folder.partition("/")[0])


def test_envelopes_are_opened_in_order_and_rows_are_written_as_the_table_reads_them(template: Template) -> None:
    one = destination(template)
    assert [processor["Type"] for processor in one["ProcessingConfiguration"]["Processors"]] == [
        "Decompression",
        "CloudWatchLogProcessing",
    ]
    conversion = one["DataFormatConversionConfiguration"]
    assert "ParquetSerDe" in conversion["OutputFormatConfiguration"]["Serializer"]
    assert conversion["SchemaConfiguration"]["TableName"] == {"Ref": "ExportTable"}
    storage = properties(template, "ExportTable")["TableInput"]["StorageDescriptor"]
    assert storage["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
    # What Firehose asks of a stream that converts.
    assert one["CompressionFormat"] == "UNCOMPRESSED"
    assert one["BufferingHints"]["SizeInMBs"] >= 64


def queries(template: Template) -> Iterator[tuple[str, str]]:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Athena::NamedQuery":
            settings = resource["Properties"]
            assert (settings["WorkGroup"], settings["Database"]) == ({"Ref": "ExportWorkGroup"}, {"Ref": "ExportDatabase"})
            yield settings["Name"], settings["QueryString"]


@pytest.fixture(scope="module")
def database(template: Template, traffic: Traffic) -> Iterator[sqlite3.Connection]:
    """The rows of the run, each delivered twice, in an engine that knows the part of SQL which the queries use."""
    names = keys(template)
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE requests ({', '.join(names)}, day)")
    connection.create_function("from_unixtime", 1, lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat())
    connection.create_function("date_add", 3, lambda unit, number, start: "1970-01-01")
    connection.create_function("date_format", 2, lambda moment, form: datetime.fromisoformat(moment).strftime(form))
    rows = [[_cell(line.get(key)) for key in names.values()] for line in selected(template, traffic.lines)]
    marks = ", ".join("?" * (len(names) + 1))
    for day in ("2026-11-22", "2026-11-23"):
        connection.executemany(f"INSERT INTO requests VALUES ({marks})", [(*row, day) for row in rows])  # noqa: S608
    yield connection
    connection.close()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def answers(database: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    cursor = database.execute(query)
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]


def test_the_saved_queries_count_what_clients_saw(template: Template, traffic: Traffic, database: sqlite3.Connection) -> None:
    seen, saved = traffic.seen.numbers, dict(queries(template))
    spent = answers(database, saved["spend by caller and day"])
    assert sum(row["usd"] or 0 for row in spent) == pytest.approx(seen["micro_usd"] / 1e6)
    assert sum(row["prompt_tokens"] or 0 for row in spent) == seen["PromptTokens"]
    assert sum(row["completion_tokens"] or 0 for row in spent) == seen["CompletionTokens"]
    assert {row["principal"] for row in spent} == traffic.seen.callers
    days = {
        datetime.fromtimestamp(line["timestamp"] / 1000, UTC).strftime("%Y-%m-%d") for line in selected(template, traffic.lines)
    }
    assert {row["day"] for row in spent} == days
    models = answers(database, saved["models and deployments"])
    assert sum(row["usd"] or 0 for row in models) == pytest.approx(seen["micro_usd"] / 1e6)
    failed = answers(database, saved["errors"])
    assert sum(row["requests"] for row in failed) == seen["Errors"]
    kinds = (ErrorKind.RATE_LIMITED, ErrorKind.BUDGET_EXCEEDED, ErrorKind.STREAM_BROKEN, ErrorKind.AUTHENTICATION)
    assert {row["error"] for row in failed} >= {kind.value for kind in kinds}


def test_every_saved_query_reads_few_days(template: Template) -> None:
    for _, query in queries(template):
        assert re.search(r"WHERE day >= date_format\(date_add\('day', -\d+, current_date\), '%Y-%m-%d'\)", query)


def test_nothing_is_made_unless_it_is_asked_for(template: Template) -> None:
    assert template["Parameters"]["RequestExport"]["Default"] == "off"
    assert template["Conditions"]["WithRequestExport"] == {"Fn::Equals": [{"Ref": "RequestExport"}, "on"]}
    costly = ("AWS::S3", "AWS::Kinesis", "AWS::Glue", "AWS::Athena", "AWS::Logs::SubscriptionFilter")
    kinds = {name: resource["Type"] for name, resource in template["Resources"].items()}
    assert {name for name, kind in kinds.items() if kind.startswith(costly)} <= set(exported(template))


def test_rows_are_private_encrypted_deleted_in_time_and_outlive_the_stack(template: Template) -> None:
    bucket = template["Resources"]["ExportBucket"]
    assert bucket["DeletionPolicy"].startswith("Retain")
    assert bucket["UpdateReplacePolicy"] == "Retain"
    settings = bucket["Properties"]
    assert set(settings["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(settings["PublicAccessBlockConfiguration"]) == 4
    assert settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    expiring = {
        rule["Prefix"]: rule["ExpirationInDays"] for rule in settings["LifecycleConfiguration"]["Rules"] if "Prefix" in rule
    }
    written = {destination(template)[name].partition("/")[0] + "/" for name in ("Prefix", "ErrorOutputPrefix")}
    results = properties(template, "ExportWorkGroup")["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"]
    assert set(expiring) == written | {results["Fn::Sub"].rpartition("}/")[2]}
    assert all(expiring[folder] == {"Ref": "RequestExportDays"} for folder in written)
    [denied] = properties(template, "ExportBucketPolicy")["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "s3:*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert denied["Resource"] == [{"Fn::GetAtt": ["ExportBucket", "Arn"]}, {"Fn::Sub": "${ExportBucket.Arn}/*"}]


def test_each_service_may_do_its_part_and_only_for_this_account(template: Template) -> None:
    def role(name: str) -> tuple[str, dict[str, Any], set[str]]:
        [trust] = properties(template, name)["AssumeRolePolicyDocument"]["Statement"]
        policies = properties(template, name)["Policies"]
        statements = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
        actions = {
            action for one in statements for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        }
        return trust["Principal"]["Service"], trust["Condition"], {action.partition(":")[0] for action in actions}

    service, condition, reached = role("ExportRole")
    assert (service, reached) == ("firehose.amazonaws.com", {"s3", "glue", "logs"})
    assert condition == {"StringEquals": {"sts:ExternalId": {"Ref": "AWS::AccountId"}}}
    service, condition, reached = role("ExportSubscriptionRole")
    assert (service, reached) == ("logs.amazonaws.com", {"firehose"})
    assert "${AWS::AccountId}" in condition["StringLike"]["aws:SourceArn"]["Fn::Sub"]


def test_what_the_gateway_logs_and_nothing_of_the_control_plane_is_exported(template: Template) -> None:
    subscriptions = [one for one in template["Resources"].values() if one["Type"] == "AWS::Logs::SubscriptionFilter"]
    assert [one["Properties"]["LogGroupName"] for one in subscriptions] == [{"Ref": "GatewayLogs"}]
