"""AES-256-GCM as the standard has it."""

import pytest

from baton.stores.ciphers import decrypt, encrypt

KEY, NONCE = bytes(32), bytes(12)


def test_a_known_answer() -> None:
    """Test case 14 of the GCM specification: 16 zero bytes under a key of zeros."""
    sealed = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    assert sealed == encrypt(KEY, NONCE, bytes(16), b"")
    assert bytes(16) == decrypt(KEY, NONCE, sealed, b"")


@pytest.mark.parametrize("change", ["key", "nonce", "text", "about", "length"])
def test_what_does_not_open(change: str) -> None:
    """Anything else than it was."""
    sealed = encrypt(KEY, NONCE, b"text", b"row")
    key = b"\1" + KEY[1:] if change == "key" else KEY
    nonce = b"\1" + NONCE[1:] if change == "nonce" else NONCE
    given = {"text": sealed[:-1] + b"\0", "length": sealed[:8]}.get(change, sealed)
    assert decrypt(key, nonce, given, b"other" if change == "about" else b"row") is None
