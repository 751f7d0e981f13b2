"""The provider-keys secret: one JSON object of variables in AWS Secrets Manager."""

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, dumps, loads
from pllm.providers.base import SimpleHttp
from pllm.providers.sigv4 import AwsCredentials, Scope, sign


async def fetch_secret(arn: str, region: str, credentials: AwsCredentials, clock: Clock, http: SimpleHttp) -> dict[str, str]:
    """The secret's variables. Raises GatewayError UNAVAILABLE saying what AWS answered, never what the secret holds."""
    url = f"https://secretsmanager.{region}.{_suffix(region)}/"
    body = dumps({"SecretId": arn})
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.GetSecretValue"}
    signed = sign(
        "POST", url, headers, body, credentials=credentials, scope=Scope(region, "secretsmanager"), now_s=clock.wall_s()
    )
    status, answer = await http("POST", url, signed, body)
    if status != 200:
        raise _unreadable(f"Secrets Manager answered {status} {_error_type(answer)}")
    return _variables(answer)


def _variables(answer: bytes) -> dict[str, str]:
    try:
        values = loads(loads(answer)["SecretString"])
    except (JsonError, KeyError, TypeError):
        raise _unreadable("its value is not a JSON object") from None
    if not isinstance(values, dict):
        raise _unreadable("its value is not a JSON object")
    return {name: value for name, value in values.items() if isinstance(value, str) and value}


def _error_type(answer: bytes) -> str:
    try:
        return str(loads(answer).get("__type", ""))
    except (JsonError, AttributeError):
        return "without a readable error"


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _unreadable(why: str) -> GatewayError:
    return GatewayError(ErrorKind.UNAVAILABLE, f"The provider-keys secret could not be read: {why}.")
