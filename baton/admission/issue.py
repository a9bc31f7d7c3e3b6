"""Making keys: a value is made or imported here, shown once, and stored as its digest."""

import secrets
import time

import msgspec

from baton.admission import keys
from baton.config import Settings
from baton.stores.base import Duplicate, KeyRecord, Role, StoreError
from baton.stores.book import Store

BOOTSTRAP_ACTOR = "bootstrap"


class Bootstrap(msgspec.Struct, frozen=True):
    """Values of keys that were stored just now; None for what was there already."""

    key: str | None
    admin_key: str | None


def create(store: Store, name: str, actor: str, **options: object) -> tuple[KeyRecord, str]:
    """Mint and store a key; returns it and its value, which nobody can tell again.

    `options` are fields of KeyRecord: role, expires_us, models, default_model, …"""
    value = keys.mint(secrets.token_bytes(keys.RANDOM_BYTES))
    return import_key(store, name, value, actor, **options), value


def import_key(
    store: Store, name: str, value_or_digest: str, actor: str, **options: object
) -> KeyRecord:
    """Store a key from elsewhere (`imported`). Duplicate when it is stored already."""
    record = imported(name, value_or_digest, **options)
    store.keys.add(record, actor)
    return record


def imported(name: str, value_or_digest: str, **options: object) -> KeyRecord:
    """A key from elsewhere, given by its value (`sk-…`) or the SHA-256 of it in hex, as it is
    stored. StoreError when it is neither."""
    found = keys.stored_as(value_or_digest)
    if found is None:
        raise StoreError(keys.WANTED)
    digest, (head, tail) = found
    fields = {
        "id": f"key_{secrets.token_hex(8)}",
        "name": name,
        "head": head,
        "tail": tail,
        "created_us": time.time_ns() // 1000,
        **options,
    }
    return msgspec.convert({**fields, "digest": digest}, KeyRecord, builtin_types=(bytes,))


def rotate(store: Store, key_id: str, actor: str, until_us: int) -> tuple[KeyRecord, str]:
    """Give a key a new value; the present one stays valid until then. Raises Missing, StoreError.

    Returns the key and its new value, which nobody can tell again."""
    value = keys.mint(secrets.token_bytes(keys.RANDOM_BYTES))
    head, tail = keys.shown(value)
    present = store.keys.get(key_id)
    fresh = msgspec.structs.replace(
        present,
        previous_digest=present.digest,
        digest=keys.digest(value),
        head=head,
        tail=tail,
        previous_until_us=until_us,
    )
    return store.keys.rotate(fresh, actor), value


def bootstrap(store: Store, settings: Settings) -> Bootstrap:
    """The first key and the admin key: minted at the first start, or as the settings say.

    A value in the settings that is not stored yet is added, also later. Several processes may do
    this at once: one of them stores each key. StoreError for a value that is no key, before
    anything is stored: a key that is stored and not told is lost."""
    if (wrong := keys.misset(settings.bootstrap_key, settings.admin_key)) is not None:
        raise StoreError(wrong)
    stored = store.keys.all()
    return Bootstrap(
        _ensure(store, stored, "user", settings.bootstrap_key),
        _ensure(store, stored, "admin", settings.admin_key),
    )


def _ensure(store: Store, stored: list[KeyRecord], role: Role, value: str) -> str | None:
    name = "default" if role == "user" else "admin"
    if not value:
        if any(record.role == role for record in stored):
            return None
        return create(store, name, BOOTSTRAP_ACTOR, role=role)[1]
    if any(record.digest == keys.digest(value) for record in stored):
        return None
    try:
        import_key(store, name, value, BOOTSTRAP_ACTOR, role=role)
    except Duplicate:
        return None
    return value
