"""AES-256-GCM: all that Baton uses the library `cryptography` for.

Loaded by vault.py when something is sealed or opened for the first time: the library holds 7 MB of
memory, and a worker whose upstreams have no keys never needs it.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def encrypt(key: bytes, nonce: bytes, plain: bytes, about: bytes) -> bytes:
    """The ciphertext with its tag at the end; `about` is authenticated with it."""
    return AESGCM(key).encrypt(nonce, plain, about)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, about: bytes) -> bytes | None:
    """None where it does not open: another key, nonce or `about`, or another text."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, about)
    except (InvalidTag, ValueError):  # ValueError: too short to be one
        return None
