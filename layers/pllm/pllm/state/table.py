"""The one file that knows DynamoDB: compiles updates to expressions and calls boto3 on a small thread pool.

Timeouts are short and nothing is retried here: an `ADD` that is sent twice counts twice, so what to do about an answer that
did not come is the caller's to decide (docs/decisions on shared state). boto3 is imported when the table is first used.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from pllm.state.store import (
    CONFLICT,
    Absent,
    AllOf,
    AnyOf,
    Applied,
    Attr,
    Compare,
    Condition,
    Exists,
    Expression,
    Item,
    Minus,
    Operand,
    Plus,
    Refused,
    Rejected,
    StateError,
    Update,
    Value,
    Write,
)

_THREADS = 8
_CONNECT_TIMEOUT_S = 0.25
_READ_TIMEOUT_S = 0.4
_EMULATOR_READ_TIMEOUT_S = 2.0


def connect(region: str, endpoint: str | None = None, *, read_timeout_s: float | None = None) -> Any:
    """A boto3 DynamoDB client, by default with the timeouts of the hot path. An `endpoint` of one's own needs no account, and
    is given more time: an emulator on a busy laptop is slower than DynamoDB."""
    import boto3  # 200 ms: only environments that use shared state pay
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s or (_READ_TIMEOUT_S if endpoint is None else _EMULATOR_READ_TIMEOUT_S),
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
        max_pool_connections=_THREADS * 2,
    )
    session = boto3.Session(region_name=region)
    if endpoint is not None and session.get_credentials() is None:
        session = boto3.Session(region_name=region, aws_access_key_id="local", aws_secret_access_key="local")  # noqa: S106
    return session.client("dynamodb", endpoint_url=endpoint, config=config)


class DynamoStore:
    """The table `name` through the boto3 client that `connect` makes when the first call is due. Safe to use from one event
    loop; calls run on a bounded thread pool."""

    def __init__(self, connect: Callable[[], Any], name: str) -> None:
        self._connect = connect
        self._client: Any = None
        self._connecting = Lock()
        self._name = name
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="state")

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        answer = await self._call("get_item", {"Key": key, "ConsistentRead": consistent})
        return _item(answer["Item"]) if "Item" in answer else None

    async def query(self, pk: str, *, since: str = "", until: str = "", consistent: bool = False) -> list[Item]:
        arguments = _query(pk, since, until) | {"ConsistentRead": consistent}
        found: list[Item] = []
        while True:
            answer = await self._call("query", arguments)
            found += [_item(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def update(self, update: Update) -> Applied | Refused:
        try:
            answer = await self._call("update_item", compile_update(update))
        except _ConditionFailedError as refused:
            return Refused(refused.item)
        return Applied(_item(answer["Attributes"]))

    async def delete(self, pk: str, sk: str) -> Item | None:
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        answer = await self._call("delete_item", {"Key": key, "ReturnValues": "ALL_OLD"})
        return _item(answer["Attributes"]) if "Attributes" in answer else None

    async def transact(self, writes: Sequence[Write], token: str) -> Rejected | None:
        items = [compile_write(write, self._name) for write in writes]
        try:
            await self._call("transact_write_items", {"TransactItems": items, "ClientRequestToken": token}, table=False)
        except _CancelledError as cancelled:
            return cancelled.rejected
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, operation: str, arguments: Mapping[str, Any], *, table: bool = True) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        whole = {"TableName": self._name, **arguments} if table else arguments
        return await loop.run_in_executor(self._pool, self._blocking, operation, whole)

    def _blocking(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self._connected(), operation)(**arguments)
        except ClientError as error:
            raise _client_error(error.response) from None
        except BotoCoreError as error:
            raise _network_error(error) from None
        return answer

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client


class _ConditionFailedError(Exception):
    def __init__(self, item: Item | None) -> None:
        super().__init__("condition")
        self.item = item


class _CancelledError(Exception):
    def __init__(self, rejected: Rejected) -> None:
        super().__init__("transaction")
        self.rejected = rejected


def _cancelled(reasons: Sequence[Mapping[str, Any]]) -> Exception:
    """Why a transaction was not done. Only a false condition is an answer; the rest is trouble. Nothing was written."""
    for index, reason in enumerate(reasons):
        if reason.get("Code") == "ConditionalCheckFailed":
            return _CancelledError(Rejected(index, _item(reason["Item"]) if reason.get("Item") else None))
    codes = {str(reason.get("Code", "None")) for reason in reasons} - {"None"}
    if codes == {"TransactionConflict"}:
        return StateError(CONFLICT, sent=False)
    throttled = any("Throttl" in code or "Throughput" in code for code in codes)
    return StateError("throttled" if throttled else ",".join(sorted(codes)) or "cancelled", sent=False)


def _client_error(response: Mapping[str, Any]) -> Exception:
    code = response.get("Error", {}).get("Code", "")
    if code == "TransactionCanceledException":
        return _cancelled(response.get("CancellationReasons", ()))
    if code in ("TransactionConflictException", "TransactionInProgressException"):
        return StateError(CONFLICT, sent=code == "TransactionInProgressException")
    if code == "ConditionalCheckFailedException":
        return _ConditionFailedError(_item(response["Item"]) if response.get("Item") else None)
    if "Throttl" in code or code in ("ProvisionedThroughputExceededException", "RequestLimitExceeded"):
        return StateError("throttled", sent=False)
    if code in ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "ResourceNotFoundException"):
        return StateError(code, sent=False)
    server = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return StateError(code or "error", sent=server)


def _network_error(error: Exception) -> StateError:
    """A connection that was never made carried nothing; anything later may have arrived."""
    name = type(error).__name__
    unsent = name in ("ConnectTimeoutError", "EndpointConnectionError", "NoCredentialsError", "ProxyConnectionError")
    return StateError("timeout" if "Timeout" in name else "unreachable", sent=not unsent)


# --- Compiling -----------------------------------------------------------------------------------------------------


@dataclass
class _Names:
    """Placeholders of one expression: every name and value is one, so that reserved words never matter."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def name(self, name: str) -> str:
        return self.names.setdefault(name, f"#{len(self.names)}")

    def value(self, value: Value) -> str:
        placeholder = f":{len(self.values)}"
        self.values[placeholder] = _typed(value)
        return placeholder

    def operand(self, operand: Operand) -> str:
        return self.name(operand.name) if isinstance(operand, Attr) else self.value(operand)


NEVER_THERE = "nothing"
"""An attribute that no item has. An update that only asks its condition removes it: an empty expression is refused."""


def compile_update(update: Update) -> dict[str, Any]:
    """The arguments of UpdateItem, less the table's name."""
    names = _Names()
    removed = update.remove if update.set or update.add or update.remove else (NEVER_THERE,)
    clauses = [
        ("SET", [f"{names.name(n)} = {_expression(e, names)}" for n, e in update.set.items()]),
        ("ADD", [f"{names.name(n)} {names.value(v)}" for n, v in update.add.items()]),
        ("REMOVE", [names.name(n) for n in removed]),
    ]
    arguments: dict[str, Any] = {
        "Key": {"PK": {"S": update.pk}, "SK": {"S": update.sk}},
        "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts),
        "ReturnValues": "ALL_NEW",
    }
    if update.condition is not None:
        arguments["ConditionExpression"] = _condition(update.condition, names)
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return arguments | _placeholders(names)


def compile_write(write: Write, table: str) -> dict[str, Any]:
    """One element of TransactWriteItems."""
    if isinstance(write, Update):
        arguments = compile_update(write)
        del arguments["ReturnValues"]
        return {"Update": {"TableName": table, **arguments}}
    arguments = {"TableName": table, "Key": {"PK": {"S": write.pk}, "SK": {"S": write.sk}}}
    if write.condition is not None:
        names = _Names()
        arguments["ConditionExpression"] = _condition(write.condition, names)
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        arguments |= _placeholders(names)
    return {"Delete": arguments}


def _placeholders(names: _Names) -> dict[str, Any]:
    used = {"ExpressionAttributeNames": {v: k for k, v in names.names.items()}, "ExpressionAttributeValues": names.values}
    return {name: value for name, value in used.items() if value}


def _expression(expression: Expression, names: _Names) -> str:
    match expression:
        case Plus(left, right):
            return f"{names.operand(left)} + {names.operand(right)}"
        case Minus(left, right):
            return f"{names.operand(left)} - {names.operand(right)}"
        case _:
            return names.operand(expression)


def _condition(condition: Condition, names: _Names) -> str:
    match condition:
        case AllOf(conditions):
            return "(" + " AND ".join(_condition(one, names) for one in conditions) + ")"
        case AnyOf(conditions):
            return "(" + " OR ".join(_condition(one, names) for one in conditions) + ")"
        case Exists(name):
            return f"attribute_exists({names.name(name)})"
        case Absent(name):
            return f"attribute_not_exists({names.name(name)})"
        case Compare(name, sign, operand):
            return f"{names.name(name)} {sign} {names.operand(operand)}"


def _query(pk: str, since: str, until: str) -> dict[str, Any]:
    values = {":pk": {"S": pk}, ":since": {"S": since}, ":until": {"S": until}}
    condition = {
        (True, True): "SK BETWEEN :since AND :until",
        (True, False): "SK >= :since",
        (False, True): "SK <= :until",
    }.get((bool(since), bool(until)))
    used = {name: value for name, value in values.items() if value["S"]}
    return {
        "KeyConditionExpression": "PK = :pk" + (f" AND {condition}" if condition else ""),
        "ExpressionAttributeValues": used,
    }


def _typed(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case tuple():
            return {"L": [{"S": one} for one in value]}
        case None:
            return {"NULL": True}


def _item(attributes: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: _plain(typed) for name, typed in attributes.items()}


def _plain(typed: Mapping[str, Any]) -> Value:
    ((kind, value),) = typed.items()
    match kind:
        case "N":
            return int(value)
        case "L":
            return tuple(str(one["S"]) for one in value)
        case "NULL":
            return None
        case "B":
            return bytes(value)
        case _:
            plain: Value = value
            return plain
