"""Configurations that live in AWS: an object in S3, a parameter of Systems Manager, a profile of AppConfig.

Fetched once, when an environment starts, by signed requests without boto3: importing it would cost a cold start more than the
answer does. Nothing is retried and no redirect is followed; what AWS answers instead of a configuration is said in its words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pllm.core.clock import Clock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonError, dumps, loads
from pllm.providers.base import SimpleHttp
from pllm.providers.sigv4 import AwsCredentials, Scope, sign

SCHEMES = ("s3://", "ssm://", "appconfig://")
FORMS = "s3://bucket/key, ssm://name or appconfig://application/environment/profile"


def is_remote(name: str) -> bool:
    """Whether PLLM_CONFIG names something to be fetched rather than a file. Raises GatewayError for an address of a kind
    that is not known: it is no file name either."""
    if name.startswith(SCHEMES):
        return True
    if "://" in name:
        raise _refused(name, f"that is neither a file nor one of {FORMS}")
    return False


@dataclass(frozen=True)
class Aws:
    """Who asks, where and when. `environment` may name other endpoints: AWS_ENDPOINT_URL_S3, ..._SSM, ..._APPCONFIGDATA, or
    AWS_ENDPOINT_URL for all of them."""

    region: str
    environment: Mapping[str, str]
    credentials: AwsCredentials
    clock: Clock
    http: SimpleHttp

    async def ask(self, service: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """`service` is the signing name."""
        scope = Scope(self.region, service)
        now_s = self.clock.wall_s()
        signed = sign(method, url, headers, body, credentials=self.credentials, scope=scope, now_s=now_s)
        return await self.http(method, url, signed, body)

    def endpoint(self, variable: str, host: str) -> str:
        """The address of a service without a slash at its end: the environment's, else `host` in this region."""
        other = self.environment.get(f"AWS_ENDPOINT_URL_{variable}") or self.environment.get("AWS_ENDPOINT_URL")
        if other:
            return other.rstrip("/")
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"https://{host}.{self.region}.{suffix}"


async def fetch_config(name: str, aws: Aws) -> bytes:
    """The bytes behind `name`, YAML or compiled JSON. Raises GatewayError UNAVAILABLE saying what AWS answered."""
    scheme, _, rest = name.partition("://")
    fetch = {"s3": _object, "ssm": _parameter, "appconfig": _profile}[scheme]
    try:
        found = await fetch(name, rest, aws)
    except GatewayError as error:
        raise error if error.kind is ErrorKind.UNAVAILABLE else _refused(name, error.message) from error
    if not found.strip():
        raise _refused(name, "it is empty")
    return found


# --- S3 -------------------------------------------------------------------------------------------------------------


async def _object(name: str, rest: str, aws: Aws) -> bytes:
    bucket, _, key = rest.partition("/")
    if not bucket or not key:
        raise _refused(name, "write s3://bucket/key")
    headers = {"x-amz-content-sha256": _EMPTY_SHA256}  # S3 asks for it; a service of its own among AWS's
    status, answer = await aws.ask("s3", "GET", _object_url(bucket, key, aws), headers, b"")
    if status != 200:
        raise _refused(name, f"S3 answered {status}{_xml_error(answer)}")
    return answer


_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _object_url(bucket: str, key: str, aws: Aws) -> str:
    """A bucket with dots is no single label of a host name, so its certificate would not match; it goes into the path."""
    path = quote(key, safe="/~")
    endpoint = aws.endpoint("S3", "s3")
    scheme, _, host = endpoint.partition("://")
    ours = host.startswith("s3.") and ".amazonaws.com" in host
    if ours and re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket):
        return f"{scheme}://{bucket}.{host}/{path}"
    return f"{endpoint}/{quote(bucket, safe='')}/{path}"


def _xml_error(answer: bytes) -> str:
    """Code, words and, for a bucket elsewhere, its region. The document is AWS's own and small; a parser adds nothing."""
    text = answer.decode("utf-8", "replace")
    found = [re.search(rf"<{tag}>([^<]{{1,300}})</{tag}>", text) for tag in ("Code", "Message", "Region", "Endpoint")]
    code, message, region, endpoint = (match.group(1) if match else "" for match in found)
    where = f"; the bucket is in {region}" if region else f"; the bucket is at {endpoint}" if endpoint else ""
    return _said(code, message) + where


# --- Parameter Store ------------------------------------------------------------------------------------------------


async def _parameter(name: str, rest: str, aws: Aws) -> bytes:
    if not rest:
        raise _refused(name, "write ssm://name, or ssm:///path/of/the/parameter")
    # A name with steps is only valid with a slash before the first; `ssm://a/b` means that.
    parameter = f"/{rest}" if "/" in rest and not rest.startswith(("/", "arn:")) else rest
    body = dumps({"Name": parameter, "WithDecryption": True})
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParameter"}
    status, answer = await aws.ask("ssm", "POST", aws.endpoint("SSM", "ssm") + "/", headers, body)
    if status != 200:
        raise _refused(name, f"Systems Manager answered {status}{_json_error(answer)}")
    try:
        value = loads(answer)["Parameter"]["Value"]
    except (JsonError, KeyError, TypeError):
        value = None
    if not isinstance(value, str):
        raise _refused(name, "Systems Manager answered without a value")
    return value.encode()


# --- AppConfig ------------------------------------------------------------------------------------------------------


async def _profile(name: str, rest: str, aws: Aws) -> bytes:
    parts = rest.split("/")
    if len(parts) != 3 or not all(parts):
        raise _refused(name, "write appconfig://application/environment/profile, names or ids")
    endpoint = aws.endpoint("APPCONFIGDATA", "appconfigdata")
    query = urlencode({"configuration_token": await _session(name, parts, endpoint, aws)}, quote_via=quote, safe="")
    status, answer = await aws.ask("appconfig", "GET", f"{endpoint}/configuration?{query}", {}, b"")
    if status not in (200, 204):
        raise _refused(name, f"AppConfig answered {status}{_json_error(answer)}")
    if not answer.strip():
        raise _refused(name, "nothing has been deployed to this environment of AppConfig yet")
    return answer


async def _session(name: str, parts: list[str], endpoint: str, aws: Aws) -> str:
    """The token of a new session, good for one request."""
    fields = ("ApplicationIdentifier", "EnvironmentIdentifier", "ConfigurationProfileIdentifier")
    body = dumps(dict(zip(fields, parts, strict=True)))
    headers = {"content-type": "application/json"}
    status, answer = await aws.ask("appconfig", "POST", f"{endpoint}/configurationsessions", headers, body)
    if status != 201:
        raise _refused(name, f"AppConfig answered {status}{_json_error(answer)}")
    try:
        return str(loads(answer)["InitialConfigurationToken"])
    except (JsonError, KeyError, TypeError):
        raise _refused(name, "AppConfig opened a session without a token") from None


# --- Errors ---------------------------------------------------------------------------------------------------------


def _json_error(answer: bytes) -> str:
    try:
        error = loads(answer)
        code = error.get("__type") or error.get("Code") or error.get("code") or ""
        return _said(str(code).rpartition("#")[2], str(error.get("message") or error.get("Message") or ""))
    except (JsonError, AttributeError):
        return ""


def _said(code: str, message: str) -> str:
    return (f" {code}" if code else "") + (f": {message[:300].rstrip('.')}" if message else "")


def _refused(name: str, why: str) -> GatewayError:
    return GatewayError(ErrorKind.UNAVAILABLE, f"The configuration {name} could not be read: {why}.")
