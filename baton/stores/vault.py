"""Provider keys at rest: AES-256-GCM under a data key of each row, wrapped by the master key.

A sealed value is `version(1) | wrap nonce(12) | wrapped data key(48) | nonce(12) | ciphertext`.
Both layers authenticate the row's id, so that a value moved to another row does not open. How the
master key is changed: rekey.py.
"""

import hmac
import importlib
import secrets

from baton.stores.base import StoreError, Unsealable
from baton.stores.master import MASTER_KEY_BYTES

NONCE_BYTES = 12
WRAPPED_BYTES = MASTER_KEY_BYTES + 16
VERSION = b"\x01"


class Vault:
    """Seals and opens short secrets with one master key (32 bytes)."""

    def __init__(self, master: bytes) -> None:
        if len(master) != MASTER_KEY_BYTES:
            raise StoreError(f"the master key must have {MASTER_KEY_BYTES} bytes")
        self._key = master

    def derive(self, purpose: str) -> "Seal":
        """For what is no provider key: a seal under a key of its own."""
        return Seal(self._key, purpose)

    def seal(self, row_id: str, secret: str) -> bytes:
        data_key, associated = secrets.token_bytes(MASTER_KEY_BYTES), row_id.encode()
        wrap_nonce, nonce = secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(NONCE_BYTES)
        wrapped = _encrypted(self._key, wrap_nonce, data_key, associated)
        sealed = _encrypted(data_key, nonce, secret.encode(), associated)
        return VERSION + wrap_nonce + wrapped + nonce + sealed

    def open(self, row_id: str, sealed: bytes) -> str:
        """The secret. Unsealable when the master key is another one, or the value was tampered
        with."""
        wrapped_from = len(VERSION) + NONCE_BYTES
        nonce_from = wrapped_from + WRAPPED_BYTES
        text_from = nonce_from + NONCE_BYTES
        wrap_nonce, wrapped = sealed[len(VERSION) : wrapped_from], sealed[wrapped_from:nonce_from]
        secret, nonce, associated = None, sealed[nonce_from:text_from], row_id.encode()
        if sealed[: len(VERSION)] == VERSION and len(sealed) >= text_from:
            data_key = _decrypted(self._key, wrap_nonce, wrapped, associated)
            if data_key is not None:
                secret = _decrypted(data_key, nonce, sealed[text_from:], associated)
        if secret is None:
            message = (
                f"the stored secret of {row_id} does not open: is BATON_MASTER_KEY the right one?"
            )
            raise Unsealable(message)
        return secret.decode()


class Seal:
    """Seals bytes under a key of their own, derived from the master key for one purpose.

    AES-256-GCM: `nonce(12) | ciphertext`; `about` is authenticated, so that what was sealed for one
    row does not open in another. `digest` names and compares without telling."""

    def __init__(self, master: bytes, purpose: str) -> None:
        self._key = _derived(master, f"{purpose} seal")
        self._digest_key = _derived(master, f"{purpose} digest")

    def seal(self, about: bytes, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + _encrypted(self._key, nonce, plain, about)

    def open(self, about: bytes, sealed: bytes) -> bytes:
        """StoreError when the master key is another one, or the value was tampered with."""
        plain = _decrypted(self._key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        if plain is None:
            raise StoreError("a sealed value does not open: is the master key right?")
        return plain

    def digest(self, *parts: bytes) -> bytes:
        """Equal for equal parts; without the key nobody can guess what they were."""
        code = hmac.new(self._digest_key, digestmod="sha256")
        for part in parts:
            code.update(len(part).to_bytes(8))
            code.update(part)
        return code.digest()


def _derived(master: bytes, purpose: str) -> bytes:
    """HKDF-SHA256 (RFC 5869) without a salt, one block: knowing it tells nothing of the master key,
    nor of other purposes."""
    extracted = hmac.digest(bytes(MASTER_KEY_BYTES), master, "sha256")
    return hmac.digest(extracted, f"baton {purpose}".encode() + b"\x01", "sha256")


def _encrypted(key: bytes, nonce: bytes, plain: bytes, about: bytes) -> bytes:
    sealed: bytes = importlib.import_module("baton.stores.ciphers").encrypt(
        key, nonce, plain, about
    )
    return sealed


def _decrypted(key: bytes, nonce: bytes, sealed: bytes, about: bytes) -> bytes | None:
    plain: bytes | None = importlib.import_module("baton.stores.ciphers").decrypt(
        key, nonce, sealed, about
    )
    return plain
