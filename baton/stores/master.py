"""The master key: 32 bytes under which the book's secrets are sealed (vault.py)."""

import base64
import binascii
import os
import pathlib
import secrets

from baton.stores.base import StoreError
from baton.stores.folders import sync_folder

MASTER_KEY_BYTES = 32
FILE_NAME = "master.key"
NEXT_NAME = "master.key.next"
"""Both in the home; the next one while the key is changed (rekey.py)."""


def master_key(setting: str, home: pathlib.Path) -> bytes:
    """The master key: from the setting, else from home/master.key, which is made at first (mode
    0600). Raises StoreError for what is none, by its place."""
    if setting:
        return parse_master_key(setting)
    path = home / FILE_NAME
    if not path.exists():
        create(path, secrets.token_bytes(MASTER_KEY_BYTES))
    return read(path)


def read(path: pathlib.Path) -> bytes:
    """The master key in a file. Raises StoreError."""
    return parse_master_key(path.read_text(encoding="utf-8", errors="replace").strip(), str(path))


def parse_master_key(text: str, setting: str = "BATON_MASTER_KEY") -> bytes:
    """32 bytes from 64 hex digits or base64. Raises StoreError, which names the setting."""
    try:
        master = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        master = b""
    if len(master) != MASTER_KEY_BYTES:
        raise StoreError(f"{setting} must be 32 bytes in base64 or hex")
    return master


def create(path: pathlib.Path, master: bytes) -> None:
    """Written aside and linked into place, mode 0600: of several processes one wins, none reads
    half a key."""
    aside = path.with_name(f".master.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(master.hex().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass  # another process was first; its key is the key
    finally:
        aside.unlink()
    sync_folder(path.parent)
