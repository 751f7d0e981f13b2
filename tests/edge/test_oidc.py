"""Tokens at the front door: who is let in, and every known way of forging one."""

import hashlib
import hmac
import json
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from tests.support.door import MASTER_KEY, Door, door
from tests.support.issuer import AUDIENCE, URL, Issuer, entry, jwk, rsa_key, sign
from tests.support.key_service import key_service

from pllm.core.allowances import Allowances
from pllm.core.clock import ManualClock
from pllm.core.config.policies import Budget, Limit, Limits
from pllm.core.jsontext import dumps
from pllm.core.keys import Allowance, TeamFields
from pllm.edge.jwks import read_keys
from pllm.state.memory import MemoryStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def issuer(clock: ManualClock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
async def at(clock: ManualClock, issuer: Issuer) -> AsyncIterator[Door]:
    async with door(clock=clock, issuers=[entry()], http=issuer.http) as opened:
        yield opened


async def why(at: Door, token: str) -> str:
    """What a refused token is told; its answer has the shape of every 401."""
    response = await at.get("/v1/models", token)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (401, "authentication_error", "invalid_api_key")
    message: str = error["message"]
    return message.removeprefix("The token is not accepted: ")


async def test_a_token_of_the_issuer_is_its_subject(at: Door, issuer: Issuer) -> None:
    who = await at.who(issuer.token())
    assert (who["name"], who["role"], who["team"], who["models"]) == ("alice", "user", None, ["*"])
    assert who["id"].startswith("oidc/")
    assert who["id"].endswith("/alice")
    assert at.lines[-1]["principal"] == who["id"]


async def test_two_subjects_and_two_issuers_are_never_one_principal(clock: ManualClock, issuer: Issuer) -> None:
    other = entry(issuer="https://login.example.com/pool-2", jwks_url=f"{URL}/keys")
    async with door(clock=clock, issuers=[entry(), other], http=issuer.http) as at:
        tokens = [issuer.token(), issuer.token(sub="bob"), issuer.token(iss=other.issuer), issuer.token(sub="alice/../x#y")]
        ids = {(await at.who(token))["id"] for token in tokens}
    assert len(ids) == 4
    assert not any("#" in one for one in ids)


async def test_the_entry_of_the_configuration_says_what_its_callers_may(clock: ManualClock, issuer: Issuer) -> None:
    configured = entry(
        user_claim="email",
        team_claim="dept",
        role_claim="groups",
        role="viewer",
        models=("gpt-*",),
        limit=Limit(rpm=7),
        budget=Budget(amount=3_000_000, period="day"),
    )
    table = MemoryStore()
    await key_service(table, clock).teams.create("search", TeamFields("S", ("*-mini",), Allowance(tpm=5)), "master")
    async with door(table, clock=clock, issuers=[configured], http=issuer.http) as at:
        who = await at.who(issuer.token(email="a@b.c", dept="search", groups=["x", "user"]))
        plain = await at.who(issuer.token(email="a@b.c"))
        assert (who["name"], who["team"], who["role"], plain["role"]) == ("a@b.c", "search", "user", "viewer")
        assert (who["models"], who["team_models"]) == (["gpt-*"], ["*-mini"])
        assert [(one["scope"], one["rpm"], one["tpm"]) for one in who["limits"]] == [
            (f"key/{who['id']}", 7, None),
            ("team/search", None, 5),
        ]
        assert who["limits"][0]["budget"]["micro_usd"] == 3_000_000
        assert "holds none of admin, viewer and user" in await why(at, issuer.token(email="a@b.c", groups=["root"]))
        assert "cannot be a team's id" in await why(at, issuer.token(email="a@b.c", dept="a#b"))
        assert "cannot be a team's id" in await why(at, issuer.token(email="a@b.c", dept=["search"]))
        assert "names nobody" in await why(at, issuer.token(email=["a@b.c"]))
        assert "names nobody" in await why(at, issuer.token())


async def test_a_subject_cannot_choose_limits_by_taking_a_keys_name(clock: ManualClock, issuer: Issuer) -> None:
    allowances = Allowances(Limits(default_key=Limit(rpm=1), keys={"ci": Limit(rpm=10_000)}))
    async with door(clock=clock, issuers=[entry()], http=issuer.http, allowances=allowances) as at:
        assert (await at.who(issuer.token(sub="ci")))["limits"][0]["rpm"] == 1


# --- Forgeries -----------------------------------------------------------------------------------------------------


def b64(value: Any) -> str:
    return urlsafe_b64encode(value if isinstance(value, bytes) else dumps(value)).rstrip(b"=").decode()


async def test_an_unsigned_token_is_refused(at: Door, issuer: Issuer) -> None:
    for alg in ("none", "None", "NONE", "nOnE"):
        assert "algorithm is not accepted" in await why(at, f"{b64({'alg': alg})}.{b64(issuer.claims())}.")
        assert "algorithm is not accepted" in await why(at, f"{b64({'alg': alg, 'kid': 'k1'})}.{b64(issuer.claims())}.c2ln")


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
async def test_the_public_key_is_no_shared_secret(at: Door, issuer: Issuer, alg: str) -> None:
    public = issuer.key.as_pem(private=False)
    for secret in (public, public.strip(), json.dumps(issuer.keys[0]).encode()):
        # joserfc itself refuses to sign with such a secret, so it is done by hand.
        signed = f"{b64({'alg': alg, 'kid': 'k1'})}.{b64(issuer.claims())}"
        digest = hmac.new(secret, signed.encode(), {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[alg]).digest()
        assert "algorithm is not accepted" in await why(at, f"{signed}.{b64(digest)}")


async def test_a_symmetric_key_in_the_set_verifies_nothing(at: Door, issuer: Issuer) -> None:
    secret = OctKey.generate_key(256)
    issuer.keys = [{**secret.as_dict(), "kid": "k1", "use": "sig"}]
    assert "key that its issuer does not have" in await why(at, issuer.token())
    assert "algorithm is not accepted" in await why(at, issuer.token(key=secret, alg="HS256"))


async def test_another_key_of_the_same_name_signs_nothing(at: Door, issuer: Issuer) -> None:
    assert "signature is wrong" in await why(at, issuer.token(key=rsa_key(1)))


async def test_an_algorithm_is_pinned_even_where_the_key_could_do_it(at: Door, issuer: Issuer) -> None:
    assert "algorithm is not accepted" in await why(at, issuer.token(alg="PS256"))


async def test_a_key_does_only_what_its_issuer_made_it_for(clock: ManualClock, issuer: Issuer) -> None:
    issuer.keys = [jwk(issuer.key, "k1", alg="PS256")]
    async with door(clock=clock, issuers=[entry(algorithms=("RS256", "PS256"))], http=issuer.http) as at:
        assert "does not have" in await why(at, issuer.token())
        assert (await at.who(issuer.token(alg="PS256")))["name"] == "alice"
        issuer.keys = [{**jwk(issuer.key, "k1"), "use": "enc"}]
        clock.advance(600)
        assert "does not have" in await why(at, issuer.token())


@pytest.mark.parametrize(
    ("key", "alg"), [(ECKey.generate_key("P-256"), "ES256"), (OKPKey.generate_key("Ed25519"), "EdDSA")], ids=("EC", "OKP")
)
async def test_other_signatures_are_verified_where_they_are_configured(
    clock: ManualClock, issuer: Issuer, key: ECKey | OKPKey, alg: str
) -> None:
    issuer.keys = [jwk(key, "e1")]
    async with door(clock=clock, issuers=[entry(algorithms=(alg,))], http=issuer.http) as at:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA's name, which most issuers still use
            token = jws.serialize_compact({"alg": alg, "kid": "e1"}, dumps(issuer.claims()), key, [alg])
        assert (await at.who(token))["name"] == "alice"
        assert "algorithm is not accepted" in await why(at, issuer.token())


async def test_a_weak_key_verifies_nothing(at: Door, issuer: Issuer) -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505
    number = {name: b64(value.to_bytes(-(-value.bit_length() // 8))) for name, value in (("n", weak.n), ("e", weak.e))}
    issuer.keys = [{"kty": "RSA", "kid": "k1", **number}]
    assert "does not have" in await why(at, issuer.token())


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_a_token_does_not_say_where_its_keys_are(at: Door, issuer: Issuer, name: str) -> None:
    evil = rsa_key(1)
    issuer.documents["https://evil.example/keys"] = dumps({"keys": [jwk(evil, "evil")]})
    token = sign(evil, issuer.claims(), kid="evil", **{name: "https://evil.example/keys"})
    assert "does not have" in await why(at, token)
    assert not [url for url in issuer.asked if "evil" in url]


async def test_a_token_does_not_bring_its_key_along(at: Door, issuer: Issuer) -> None:
    evil = rsa_key(1)
    token = sign(evil, issuer.claims(), kid=None, jwk=evil.as_dict(private=False))
    assert "signature is wrong" in await why(at, token)


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "k1' OR '1'='1", "k1\x00", "", "k" * 257, "K1", 1, ["k1"], {"kid": "k1"}, True]
)
async def test_a_key_id_is_compared_and_nothing_else(at: Door, issuer: Issuer, kid: Any) -> None:
    signed = f"{b64({'alg': 'RS256', 'kid': kid})}.{b64(issuer.claims())}"
    assert await why(at, f"{signed}.{b64(b'x' * 256)}")
    assert set(issuer.asked) <= {f"{URL}/keys", f"{URL}/.well-known/openid-configuration"}


async def test_without_a_key_id_one_key_is_enough_and_two_are_too_many(clock: ManualClock, at: Door, issuer: Issuer) -> None:
    assert (await at.who(issuer.token(kid=None)))["name"] == "alice"
    issuer.keys.append(jwk(rsa_key(1), "k2"))
    clock.advance(600)
    assert "does not have" in await why(at, issuer.token(kid=None))
    assert (await at.who(issuer.token()))["name"] == "alice"


async def test_extensions_that_must_be_understood_are_refused(at: Door, issuer: Issuer) -> None:
    for header in ({"crit": ["b64"], "b64": False}, {"crit": ["exp"]}, {"b64": False}):
        signed = f"{b64({'alg': 'RS256', 'kid': 'k1', **header})}.{b64(issuer.claims())}"
        assert "extensions" in await why(at, f"{signed}.{b64(b'x' * 256)}")


async def test_changed_claims_break_the_signature(at: Door, issuer: Issuer) -> None:
    header, claims, signature = issuer.token().split(".")
    changed = json.loads(urlsafe_b64decode(claims + "==")) | {"sub": "root"}
    assert "signature is wrong" in await why(at, f"{header}.{b64(changed)}.{signature}")
    assert "signature is wrong" in await why(at, f"{header}.{claims}.{b64(b'')}")
    assert "signature is wrong" in await why(at, f"{header}.{claims}.{signature[:-4]}")


@pytest.mark.parametrize(
    "token",
    [
        "eyJ..",
        "eyJ.eyJ.eyJ",
        "eyJhbGciOiJSUzI1NiJ9.W10.",
        "eyJhbGciOiJSUzI1NiJ9.bnVsbA.x",
        "eyJhbGciOiJSUzI1NiJ9.e30=.x",
        "eyJhbGciOiJSUzI1NiJ9.\u00fc.x",
        f"{b64({'alg': ['RS256']})}.{b64({})}.x",
        "eyJ" + "A" * 9000 + ".eyJ.x",
        f"{b64({'alg': 'RS256'})}.{b64(b'{' + b'[' * 5000)}.x",
    ],
)
async def test_what_looks_like_a_token_and_is_none_is_refused(at: Door, issuer: Issuer, token: str) -> None:
    raw = [(b"authorization", b"Bearer " + token.encode())]
    response = await at.client.get("/v1/models", headers=raw)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert issuer.asked == []


# --- Whom it is for, and when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "another"}, "another audience"),
        ({"aud": ["a", "b"]}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": {"pllm": 1}}, "another audience"),
        ({"aud": AUDIENCE.upper()}, "another audience"),
        ({"iss": "https://evil.example"}, "issuer is not accepted"),
        ({"iss": f"{URL}/x"}, "issuer is not accepted"),
        ({"iss": None}, "issuer is not accepted"),
        ({"iss": [URL]}, "issuer is not accepted"),
        ({"exp": None}, "does not say when it expires"),
        ({"exp": "tomorrow"}, "'exp' is no time"),
        ({"exp": True}, "'exp' is no time"),
        ({"nbf": "x"}, "'nbf' is no time"),
    ],
)
async def test_a_token_for_others_or_for_ever_is_refused(at: Door, issuer: Issuer, claims: Any, words: str) -> None:
    assert words in await why(at, issuer.token(**claims))


async def test_clocks_may_differ_by_a_minute_and_no_more(at: Door, issuer: Issuer) -> None:
    now_s = int(issuer.clock.wall_s())
    assert (await at.who(issuer.token(exp=now_s - 59)))["name"] == "alice"
    assert "has expired" in await why(at, issuer.token(exp=now_s - 60))
    for name in ("nbf", "iat"):
        early, earlier = (sign(issuer.key, {**issuer.claims(), name: now_s + late}, kid="k1") for late in (60, 61))
        assert (await at.who(early))["name"] == "alice"
        assert "not valid yet" in await why(at, earlier)
    assert (await at.who(issuer.token(aud=["x", AUDIENCE])))["name"] == "alice"
    assert (await at.who(issuer.token(iss=URL + "/")))["name"] == "alice"
    assert (await at.who(issuer.token(exp=1e300)))["name"] == "alice"


# --- The issuer's keys ---------------------------------------------------------------------------------------------


async def test_keys_are_asked_for_once_in_ten_minutes(at: Door, issuer: Issuer, clock: ManualClock) -> None:
    for _ in range(5):
        await at.who(issuer.token())
        clock.advance(100)
    assert issuer.asked == [f"{URL}/.well-known/openid-configuration", f"{URL}/keys"]
    clock.advance(100)
    await at.who(issuer.token())
    assert len(issuer.asked) == 4


async def test_a_new_key_is_found_when_a_token_names_it(at: Door, issuer: Issuer, clock: ManualClock) -> None:
    await at.who(issuer.token())
    issuer.keys = [jwk(rsa_key(1), "k2")]
    clock.advance(60)
    assert (await at.who(issuer.token(key=rsa_key(1), kid="k2")))["name"] == "alice"
    assert "does not have" in await why(at, issuer.token())


async def test_naming_keys_that_do_not_exist_asks_the_issuer_once_a_minute(
    at: Door, issuer: Issuer, clock: ManualClock
) -> None:
    await at.who(issuer.token())
    clock.advance(60)
    issuer.asked.clear()
    for number in range(20):
        assert "does not have" in await why(at, issuer.token(kid=f"guess-{number}"))
    assert issuer.asked.count(f"{URL}/keys") == 1


async def test_while_the_issuer_is_away_its_keys_serve_on_for_a_day(at: Door, issuer: Issuer, clock: ManualClock) -> None:
    await at.who(issuer.token())
    issuer.down = True
    clock.advance(86_000)
    assert (await at.who(issuer.token()))["name"] == "alice"
    clock.advance(500)
    response = await at.get("/v1/models", issuer.token())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "10"


async def test_an_issuer_that_was_never_reached_is_a_503_and_asked_again_after_a_pause(
    at: Door, issuer: Issuer, clock: ManualClock
) -> None:
    issuer.down = True
    for _ in range(5):
        assert (await at.get("/v1/models", issuer.token())).status_code == 503
    assert len(issuer.asked) == 1
    issuer.down = False
    clock.advance(10)
    assert (await at.who(issuer.token()))["name"] == "alice"


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": f"{URL}/keys"},
        {"issuer": URL, "jwks_uri": "http://login.example.com/keys"},
        {"issuer": URL, "jwks_uri": 7},
        {"issuer": URL},
        [],
    ],
)
async def test_a_discovery_document_that_is_not_the_issuers_is_not_followed(at: Door, issuer: Issuer, document: Any) -> None:
    issuer.documents[f"{URL}/.well-known/openid-configuration"] = dumps(document)
    assert (await at.get("/v1/models", issuer.token())).status_code == 503
    assert issuer.asked == [f"{URL}/.well-known/openid-configuration"]


@pytest.mark.parametrize("keys", [b"[]", b"{}", b'{"keys":{}}', b"<html>", b'{"keys":[' + b" " * 600_000 + b"]}"])
async def test_a_key_set_that_is_none_is_no_key_set(at: Door, issuer: Issuer, keys: bytes) -> None:
    issuer.documents[f"{URL}/keys"] = keys
    assert (await at.get("/v1/models", issuer.token())).status_code == 503


async def test_unusable_keys_of_a_set_are_passed_over(at: Door, issuer: Issuer) -> None:
    junk: list[Any] = [
        None,
        "k",
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "!!", "e": "AQAB", "kid": "k1"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "nope", "x": "AA", "y": "AA"},
        {"kty": ["RSA"]},
    ]
    issuer.keys = [*junk, *issuer.keys]
    assert (await at.who(issuer.token()))["name"] == "alice"


async def test_a_token_and_another_credential_are_refused_together(at: Door, issuer: Issuer) -> None:
    assert (await at.get("/v1/models", issuer.token(), **{"x-api-key": MASTER_KEY})).status_code == 401
    assert await at.status(MASTER_KEY) == 200


async def test_without_an_issuer_a_token_is_a_wrong_key_like_any_other(issuer: Issuer) -> None:
    async with door() as at:
        assert await why(at, issuer.token()) == "Incorrect API key provided."


def test_keys_are_unusable_for_what_they_are_not() -> None:
    (key,) = read_keys({"keys": [jwk(ECKey.generate_key("P-384"), "e")]})
    assert [key.fits(alg) for alg in ("ES384", "ES256", "RS256", "EdDSA")] == [True, False, False, False]
    assert isinstance(read_keys({"keys": [jwk(rsa_key(), "r")]})[0].key, RSAKey)
