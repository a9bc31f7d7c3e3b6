"""Provider keys at rest: AES-256-GCM under a data key of each row, wrapped by the master key.

A sealed value is `version(1) | wrap nonce(12) | wrapped data key(48) | nonce(12) | ciphertext`.
Both layers authenticate the row's id, so that a value moved to another row does not open. A new
master key needs to re-wrap 32 bytes a row only.
"""

import base64
import binascii
import os
import pathlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from baton.stores.base import StoreError

MASTER_KEY_BYTES = 32
NONCE_BYTES = 12
WRAPPED_BYTES = MASTER_KEY_BYTES + 16
VERSION = b"\x01"


class Vault:
    """Seals and opens short secrets with one master key (32 bytes)."""

    def __init__(self, master: bytes) -> None:
        if len(master) != MASTER_KEY_BYTES:
            raise StoreError(f"the master key must have {MASTER_KEY_BYTES} bytes")
        self._master = AESGCM(master)

    def seal(self, row_id: str, secret: str) -> bytes:
        data_key, associated = secrets.token_bytes(MASTER_KEY_BYTES), row_id.encode()
        wrap_nonce, nonce = secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(NONCE_BYTES)
        wrapped = self._master.encrypt(wrap_nonce, data_key, associated)
        sealed = AESGCM(data_key).encrypt(nonce, secret.encode(), associated)
        return VERSION + wrap_nonce + wrapped + nonce + sealed

    def open(self, row_id: str, sealed: bytes) -> str:
        """The secret. StoreError when the master key is another one, or the value was tampered
        with."""
        wrapped_from = len(VERSION) + NONCE_BYTES
        nonce_from = wrapped_from + WRAPPED_BYTES
        text_from = nonce_from + NONCE_BYTES
        wrap_nonce, wrapped = sealed[len(VERSION) : wrapped_from], sealed[wrapped_from:nonce_from]
        try:
            if sealed[: len(VERSION)] != VERSION or len(sealed) < text_from:
                raise InvalidTag
            data_key = self._master.decrypt(wrap_nonce, wrapped, row_id.encode())
            secret = AESGCM(data_key).decrypt(
                sealed[nonce_from:text_from], sealed[text_from:], row_id.encode()
            )
        except InvalidTag:
            message = (
                f"the stored secret of {row_id} does not open: is BATON_MASTER_KEY the right one?"
            )
            raise StoreError(message) from None
        return secret.decode()


def master_key(setting: str, home: pathlib.Path) -> bytes:
    """The master key: from the setting, else from home/master.key, which is made at first (mode
    0600)."""
    if setting:
        return parse_master_key(setting)
    path = home / "master.key"
    if not path.exists():
        _create(path)
    return parse_master_key(path.read_text(encoding="ascii").strip())


def parse_master_key(text: str) -> bytes:
    """32 bytes from 64 hex digits or base64."""
    try:
        master = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        master = b""
    if len(master) != MASTER_KEY_BYTES:
        raise StoreError("BATON_MASTER_KEY must be 32 bytes in base64 or hex") from None
    return master


def _create(path: pathlib.Path) -> None:
    """Written aside and linked into place: of several processes one wins, none reads half a key."""
    aside = path.with_name(f".master.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(MASTER_KEY_BYTES).hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass  # another process was first; its key is the key
    finally:
        aside.unlink()
