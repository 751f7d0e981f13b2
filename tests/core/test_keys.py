from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllm.core.keys import KeyFields, KeyRecord, PreviousKey, digest_of, is_key, mint


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_different_secrets_are_different_keys_of_one_form(one: bytes, two: bytes) -> None:
    assert is_key(mint(one))
    assert (mint(one) == mint(two)) is (one == two)


def test_every_bit_of_the_secret_is_in_the_key() -> None:
    keys = [mint((1 << bit).to_bytes(32)) for bit in range(256)]
    assert len(set(keys)) == 256
    assert all(a < b for a, b in pairwise(keys))
    assert mint(b"\xff" * 32) > keys[-1]


def test_a_key_is_not_made_of_less() -> None:
    with pytest.raises(ValueError, match="32 random bytes, not 16"):
        mint(b"x" * 16)


@pytest.mark.parametrize("text", ["", "sk-pllm-", "sk-pllm-" + "a" * 42, "sk-pllm-" + "a" * 44, "sk-pllm-" + "\u0661" * 43])
def test_what_has_not_the_form_is_no_key(text: str) -> None:
    assert not is_key(text)
    assert not is_key("sk-pllm-" + "a" * 43 + "\n")


def test_a_digest_is_sha256_of_the_whole_text() -> None:
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_record_opens_for_its_hash_and_for_the_former_one_until_its_grace_ends() -> None:
    record = KeyRecord("k", "new", KeyFields("n"), 0, "m", previous=PreviousKey("old", 100))
    assert [record.opens(digest, 99.9) for digest in ("new", "old", "older")] == [True, True, False]
    assert [record.opens(digest, 100) for digest in ("new", "old")] == [True, False]


def test_expired_is_what_an_active_key_becomes() -> None:
    fields = KeyFields("n", expires_s=100)
    assert KeyRecord("k", "h", fields, 0, "m").status(99.9) == "active"
    assert KeyRecord("k", "h", fields, 0, "m").status(100) == "expired"
    assert KeyRecord("k", "h", fields, 0, "m", state="revoked").status(100) == "revoked"
