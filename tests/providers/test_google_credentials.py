"""Google access tokens: how they are asked for, kept and renewed. google-auth judges what we send."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote

import google.auth.aws as google_aws
import google.auth.jwt as google_jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth.crypt import RSASigner

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.jsontext import JsonObject
from pllm.core.secret import Secret
from pllm.providers.google_credentials import GoogleCredentials, aws_subject_token, signed_jwt
from pllm.providers.sigv4 import AwsCredentials, Scope, sign

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

ACCOUNT: JsonObject = {
    "type": "service_account",
    "project_id": "my-project",
    "private_key_id": "key-1",
    "private_key": PEM,
    "client_email": "me@my-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
FEDERATED: JsonObject = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws",
    "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {
        "environment_id": "aws1",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    },
}
IMPERSONATION = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken"
AWS = AwsCredentials("AKIDEXAMPLE", "secret", "session")
NOW_S = 1_800_000_000.0


@dataclass
class Google:
    """The token endpoints, as one function. `answers` are given in turn, the last one for ever."""

    answers: list[tuple[int, Any]]
    asked: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append((method, url, headers, body))
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def form(self, number: int = 0) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.asked[number][3].decode()).items()}


def token(value: str = "ya29.a", lifetime_s: int = 3600) -> tuple[int, JsonObject]:
    return 200, {"access_token": value, "expires_in": lifetime_s, "token_type": "Bearer"}


async def signer(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    return sign(method, url, headers, body, credentials=AWS, scope=Scope("eu-west-1", "sts"), now_s=NOW_S)


def credentials(
    google: Google, environment: Mapping[str, str] | None = None, clock: ManualClock | None = None
) -> GoogleCredentials:
    return GoogleCredentials(environment or {"AWS_REGION": "eu-west-1"}, clock or ManualClock(NOW_S), google, signer)


def secret(info: JsonObject) -> Secret:
    return Secret(json.dumps(info))


async def refused(source: GoogleCredentials, credential: Secret | None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await source.token(credential)
    assert caught.value.kind is ErrorKind.UPSTREAM_AUTH and caught.value.status == 502
    assert PEM[40:80] not in caught.value.message
    return caught.value


class TestServiceAccount:
    async def test_a_signed_assertion_is_exchanged_and_google_auth_verifies_it(self) -> None:
        google = Google([token("ya29.b")])
        assert await credentials(google).token(secret(ACCOUNT)) == "ya29.b"
        method, url, headers, _ = google.asked[0]
        assert (method, url) == ("POST", "https://oauth2.googleapis.com/token")
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        assertion = google.form()["assertion"]
        with patch("google.auth.jwt._helpers.utcnow") as now:
            now.return_value = datetime.fromtimestamp(NOW_S, UTC).replace(tzinfo=None)
            claims = google_jwt.decode(assertion, PUBLIC, audience=ACCOUNT["token_uri"])  # type: ignore[no-untyped-call]
        assert claims["iss"] == ACCOUNT["client_email"] and claims["exp"] - claims["iat"] == 3600
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        header = json.loads(urlsafe_b64decode(assertion.split(".")[0] + "=="))
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}

    def test_the_signature_is_the_one_google_auth_makes(self) -> None:
        signing_input, _, signature = signed_jwt(ACCOUNT, "https://oauth2.googleapis.com/token", int(NOW_S)).rpartition(".")
        theirs: bytes = RSASigner.from_string(PEM, "key-1").sign(signing_input)  # type: ignore[no-untyped-call]
        assert urlsafe_b64decode(signature + "==") == theirs

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"private_key": "nonsense"}, "not a private key"),
            ({"private_key": None}, "no 'private_key'"),
            ({"client_email": ""}, "no 'client_email'"),
            ({"token_uri": "http://169.254.169.254/"}, "not an https address"),
            ({"type": "gdch_service_account"}, "'gdch_service_account' is not known"),
        ],
    )
    async def test_a_credential_that_cannot_work_is_named(self, change: JsonObject, why: str) -> None:
        assert why in (await refused(credentials(Google([token()])), secret({**ACCOUNT, **change}))).message

    async def test_a_key_that_is_not_rsa_is_named(self) -> None:
        curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        error = await refused(credentials(Google([token()])), secret({**ACCOUNT, "private_key": curve.decode()}))
        assert "not an RSA key" in error.message

    async def test_where_the_signing_package_is_missing_the_way_out_is_named(self) -> None:
        with patch.dict("sys.modules", {"cryptography.hazmat.primitives.asymmetric.padding": None}):
            error = await refused(credentials(Google([token()])), secret(ACCOUNT))
        assert "'cryptography'" in error.message and "workload identity federation" in error.message


class TestCaching:
    async def test_a_token_is_kept_until_a_minute_before_its_end(self) -> None:
        clock, google = ManualClock(NOW_S), Google([token("one"), token("two")])
        source = credentials(google, clock=clock)
        assert await source.token(secret(ACCOUNT)) == "one"
        clock.advance(3539)
        assert await source.token(secret(ACCOUNT)) == "one" and len(google.asked) == 1
        clock.advance(1)
        assert await source.token(secret(ACCOUNT)) == "two" and len(google.asked) == 2

    async def test_many_who_wait_cause_one_request(self) -> None:
        google = Google([token("one")], gate=asyncio.Event())
        source = credentials(google)
        waiting = [asyncio.create_task(source.token(secret(ACCOUNT))) for _ in range(20)]
        await google.entered.wait()
        assert google.gate is not None
        google.gate.set()
        assert await asyncio.gather(*waiting) == ["one"] * 20 and len(google.asked) == 1

    async def test_a_failed_renewal_uses_the_old_token_while_it_holds(self) -> None:
        clock, google = ManualClock(NOW_S), Google([token("one"), (503, b"<html>")])
        source = credentials(google, clock=clock)
        await source.token(secret(ACCOUNT))
        clock.advance(3570)
        assert await source.token(secret(ACCOUNT)) == "one"
        clock.advance(30)
        assert "answered 503" in (await refused(source, secret(ACCOUNT))).message

    async def test_a_failure_is_not_kept(self) -> None:
        google = Google([(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), token("one")])
        source = credentials(google)
        assert "invalid_grant: Invalid JWT Signature." in (await refused(source, secret(ACCOUNT))).message
        assert await source.token(secret(ACCOUNT)) == "one"

    async def test_each_credential_has_its_own_token(self) -> None:
        google = Google([token("one"), token("two")])
        source = credentials(google)
        other = secret({**ACCOUNT, "client_email": "you@x"})
        assert [await source.token(secret(ACCOUNT)), await source.token(other)] == ["one", "two"]
        assert await source.token(secret(ACCOUNT)) == "one"


class TestFederation:
    async def test_the_signed_request_is_the_one_google_auth_makes(self) -> None:
        ours = json.loads(unquote(await aws_subject_token(FEDERATED, "eu-west-1", signer)))
        theirs = self.google_auths_request()
        assert (ours["url"], ours["method"]) == (theirs["url"], theirs["method"])
        assert headers_of(ours) == headers_of({"headers": [{"key": k, "value": v} for k, v in theirs["headers"].items()]})

    @staticmethod
    def google_auths_request() -> dict[str, Any]:
        url = "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
        keys = google_aws.AwsSecurityCredentials(AWS.access_key_id, AWS.secret_access_key, AWS.session_token)
        with patch("google.auth.aws._helpers.utcnow") as now:
            now.return_value = datetime.fromtimestamp(NOW_S, UTC)
            target = {"x-goog-cloud-target-resource": FEDERATED["audience"]}
            signing: Any = google_aws.RequestSigner("eu-west-1")  # type: ignore[no-untyped-call]
            request: dict[str, Any] = signing.get_request_options(keys, url, "POST", additional_headers=target)
        return request

    async def test_it_is_exchanged_for_a_token(self) -> None:
        google = Google([token("federated")])
        assert await credentials(google).token(secret(FEDERATED)) == "federated"
        form = google.form()
        assert google.asked[0][1] == "https://sts.googleapis.com/v1/token"
        assert form["audience"] == FEDERATED["audience"]
        assert form["subject_token_type"] == "urn:ietf:params:aws:token-type:aws4_request"
        assert json.loads(unquote(form["subject_token"]))["method"] == "POST"

    async def test_a_service_account_is_impersonated_where_the_credential_names_one(self) -> None:
        clock = ManualClock(NOW_S)
        first = 200, {"accessToken": "ya29.sa", "expireTime": "2027-01-15T09:00:00Z"}
        second = 200, {"accessToken": "ya29.sb", "expireTime": "2028-01-15T09:00:00Z"}
        google = Google([token("federated"), first, token("federated"), second])
        source = credentials(google, clock=clock)
        credential = secret({**FEDERATED, "service_account_impersonation_url": IMPERSONATION})
        assert await source.token(credential) == "ya29.sa"
        assert google.asked[1][1] == IMPERSONATION and google.asked[1][2]["authorization"] == "Bearer federated"
        assert json.loads(google.asked[1][3])["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
        clock.advance(1_800_003_600 - NOW_S)
        assert await source.token(credential) == "ya29.sb"

    @pytest.mark.parametrize("answer", [{}, {"accessToken": "a"}, {"expireTime": "2027-01-15T09:00:00Z"}])
    async def test_an_impersonation_without_a_token_is_a_failure(self, answer: JsonObject) -> None:
        credential = secret({**FEDERATED, "service_account_impersonation_url": IMPERSONATION})
        assert (
            "iamcredentials.googleapis.com"
            in (await refused(credentials(Google([token(), (200, answer)])), credential)).message
        )

    async def test_what_is_missing_is_named(self) -> None:
        source = GoogleCredentials({}, ManualClock(), Google([token()]), signer)
        assert "AWS_REGION" in (await refused(source, secret(FEDERATED))).message
        elsewhere = secret({**FEDERATED, "credential_source": {"file": "/var/run/token"}})
        assert "only AWS" in (await refused(credentials(Google([token()])), elsewhere)).message


def headers_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Names in lower case; the two signers may write the spaces of the authorization differently."""
    found = {entry["key"].lower(): entry["value"] for entry in request["headers"]}
    found["authorization"] = found["authorization"].replace(" ", "")
    return found


class TestSources:
    async def test_an_access_token_is_used_as_it_is(self) -> None:
        google = Google([token()])
        assert await credentials(google).token(Secret("ya29.given")) == "ya29.given" and not google.asked

    async def test_a_persons_refresh_token(self) -> None:
        google = Google([token("ya29.me")])
        person: JsonObject = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
        assert await credentials(google).token(secret(person)) == "ya29.me"
        assert google.form() == {"grant_type": "refresh_token", "client_id": "i", "client_secret": "s", "refresh_token": "r"}

    async def test_the_environments_credential_is_json_or_a_file_of_it(self, tmp_path: Path) -> None:
        path = tmp_path / "credential.json"
        path.write_text(json.dumps(ACCOUNT))
        for value in (json.dumps(ACCOUNT), str(path)):
            source = credentials(Google([token("ya29.env")]), {"GOOGLE_APPLICATION_CREDENTIALS": value})
            assert await source.token(None) == "ya29.env"
            assert source.project(None) == "my-project"

    async def test_without_any_the_places_to_put_one_are_named(self, tmp_path: Path) -> None:
        assert "GOOGLE_APPLICATION_CREDENTIALS" in (await refused(credentials(Google([token()]), {"A": "b"}), None)).message
        absent = credentials(Google([token()]), {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none")})
        assert "cannot be read" in (await refused(absent, None)).message
        assert "not valid JSON" in (await refused(credentials(Google([token()])), Secret("{nope"))).message

    async def test_an_unreachable_token_endpoint_is_an_authentication_failure_with_its_reason(self) -> None:
        down = GatewayError(ErrorKind.UPSTREAM_UNREACHABLE, "oauth2.googleapis.com could not be reached.")
        error = await refused(credentials(Google([(0, down)])), secret(ACCOUNT))
        assert "could not be reached" in error.message and error.retryable

    @pytest.mark.parametrize(
        "answer", [b"", b"[]", {"access_token": "a"}, {"expires_in": 3}, {"access_token": "", "expires_in": 3}]
    )
    async def test_an_answer_without_a_token_is_a_failure(self, answer: Any) -> None:
        assert "no access_token" in (await refused(credentials(Google([(200, answer)])), secret(ACCOUNT))).message

    async def test_googles_own_error_object_is_quoted(self) -> None:
        google = Google([(403, {"error": {"code": 403, "message": "IAM says no", "status": "PERMISSION_DENIED"}})])
        assert "IAM says no" in (await refused(credentials(google), secret(ACCOUNT))).message
