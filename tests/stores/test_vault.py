"""Secrets at rest: sealed to their row, opened by the right master key only."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from baton.stores.base import StoreError
from baton.stores.ciphers import encrypt
from baton.stores.vault import NONCE_BYTES, Vault

MASTER = bytes(range(32))


@given(st.text(), st.text(st.characters(codec="utf-8")))
def test_sealed_opens_again(row_id: str, secret: str) -> None:
    """What was sealed for a row opens for it, and shows nothing of itself."""
    sealed = Vault(MASTER).seal(row_id, secret)
    assert secret == Vault(MASTER).open(row_id, sealed)
    assert len(secret) < 4 or secret.encode() not in sealed


def test_sealing_twice_differs() -> None:
    """Equal secrets cannot be told to be equal."""
    assert Vault(MASTER).seal("a", "x") != Vault(MASTER).seal("a", "x")


def test_wrong_key_row_or_bytes() -> None:
    """Another master key, another row, or one changed bit: it does not open."""
    sealed = Vault(MASTER).seal("upstream:a", "sk-provider")
    for position in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[position] ^= 1
        with pytest.raises(StoreError):
            Vault(MASTER).open("upstream:a", bytes(flipped))
    for vault, row_id, value in (
        (Vault(bytes(32)), "upstream:a", sealed),
        (Vault(MASTER), "upstream:b", sealed),
        (Vault(MASTER), "upstream:a", sealed[:40]),
        (Vault(MASTER), "upstream:a", b""),
    ):
        with pytest.raises(StoreError, match="BATON_MASTER_KEY"):
            vault.open(row_id, value)


@given(st.binary(max_size=8), st.binary(max_size=40), st.lists(st.binary(max_size=4), max_size=3))
def test_seals_have_keys_of_their_own(about: bytes, plain: bytes, parts: list[bytes]) -> None:
    """What one purpose sealed or digested, another cannot open or recognise; parts do not run
    together."""
    one, other = Vault(MASTER).derive("one"), Vault(MASTER).derive("other")
    assert plain == one.open(about, one.seal(about, plain))
    with pytest.raises(StoreError):
        other.open(about, one.seal(about, plain))
    assert one.digest(*parts) == Vault(MASTER).derive("one").digest(*parts)
    assert one.digest(*parts) != other.digest(*parts)
    assert one.digest(b"a", b"b") != one.digest(b"ab")


def test_derived_keys_are_those_of_the_standard() -> None:
    """HKDF as the library has it: what was sealed by an earlier Baton opens."""
    info = b"baton content seal"
    expected = HKDF(SHA256(), len(MASTER), salt=None, info=info).derive(MASTER)
    nonce = bytes(NONCE_BYTES)
    sealed = nonce + encrypt(expected, nonce, b"text", b"row")
    assert b"text" == Vault(MASTER).derive("content").open(b"row", sealed)
