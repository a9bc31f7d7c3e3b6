"""The master key: 32 bytes under which the book's secrets are sealed (vault.py)."""

import base64
import binascii
import os
import pathlib
import secrets

from baton.stores.base import StoreError

MASTER_KEY_BYTES = 32


def master_key(setting: str, home: pathlib.Path) -> bytes:
    """The master key: from the setting, else from home/master.key, which is made at first (mode
    0600). Raises StoreError for what is none, by its place."""
    if setting:
        return parse_master_key(setting)
    path = home / "master.key"
    if not path.exists():
        _create(path)
    return parse_master_key(path.read_text(encoding="ascii", errors="replace").strip(), str(path))


def parse_master_key(text: str, place: str = "BATON_MASTER_KEY") -> bytes:
    """32 bytes from 64 hex digits or base64; `place` is where they stand."""
    try:
        master = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        master = b""
    if len(master) != MASTER_KEY_BYTES:
        raise StoreError(f"{place} must be 32 bytes in base64 or hex") from None
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
