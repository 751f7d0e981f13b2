"""GetItem by a signed request, without boto3: for the one look at the table that a cold start takes.

Importing boto3 and making its client costs a few hundred milliseconds of processor time; this costs one round trip, taken
beside the other things that a start waits for. Everything after that goes through state/table.py.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.clock import Clock
from pllm.core.errors import GatewayError
from pllm.core.jsontext import JsonError, dumps, loads
from pllm.providers.base import SimpleHttp
from pllm.providers.sigv4 import AwsCredentials, Scope, sign
from pllm.state.store import Item, StateError, Value


@dataclass(frozen=True, slots=True)
class SignedReads:
    """The table `name` behind `endpoint` (no slash at its end). `credentials` may raise GatewayError."""

    name: str
    endpoint: str
    region: str
    credentials: Callable[[], Awaitable[AwsCredentials]]
    clock: Clock
    http: SimpleHttp

    async def get(self, pk: str, sk: str, *, consistent: bool = False) -> Item | None:
        """The item, None where there is none. Raises StateError."""
        key = {"PK": {"S": pk}, "SK": {"S": sk}}
        body = dumps({"TableName": self.name, "Key": key, "ConsistentRead": consistent})
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.GetItem"}
        url = f"{self.endpoint}/"
        try:
            keys, scope = await self.credentials(), Scope(self.region, "dynamodb")
            signed = sign("POST", url, headers, body, credentials=keys, scope=scope, now_s=self.clock.wall_s())
            status, answer = await self.http("POST", url, signed, body)
        except GatewayError as error:
            raise StateError(error.kind.value, sent=False) from error
        return _read(status, answer)


def _read(status: int, answer: bytes) -> Item | None:
    try:
        document = loads(answer)
        if status != 200:
            raise StateError(str(document.get("__type", status)).rpartition("#")[2], sent=False)
        found = document.get("Item")
        return None if found is None else {name: _plain(typed) for name, typed in found.items()}
    except (JsonError, AttributeError, KeyError, TypeError, ValueError):
        raise StateError(f"answered {status}", sent=False) from None


def _plain(typed: Mapping[str, Any]) -> Value:
    ((kind, value),) = typed.items()
    plain: dict[str, Callable[[Any], Value]] = {"S": str, "N": int, "B": b64decode, "BOOL": bool, "NULL": lambda _: None}
    return plain[kind](value) if kind != "L" else tuple(str(one["S"]) for one in value)
