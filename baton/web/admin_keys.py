"""/admin/v1/keys: make, read, change, import and revoke keys. A key's value is shown once, when
made.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from baton.admission import keys
from baton.errors import invalid
from baton.stores.base import KeyRecord, Role
from baton.web.admin import (
    ModelName,
    Name,
    Nano,
    Page,
    PageQuery,
    TimeUs,
    page,
    stored,
)
from baton.web.operation import Access, Nothing, Operation, Visit

PerMinute = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
Models = Annotated[tuple[ModelName, ...], msgspec.Meta(max_length=1000)]


class KeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. What is left out is unlimited, or off."""

    name: Name
    role: Role = "user"
    expires_us: TimeUs | None = None
    models: Models = ()
    """Public names that it may use; empty: all."""
    default_model: ModelName | None = None
    requests_per_minute: PerMinute | None = None
    budget_nano: Nano | None = None
    """What it may spend in all, in nano-USD."""
    strict: bool = False
    deterministic: bool = False
    parse_special: bool = True


class KeyImportBody(KeyBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key from elsewhere: its value, or the SHA-256 of its value. Exactly one of the two."""

    value: str | None = None
    sha256: str | None = None


class KeyChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes; what is left out stays."""

    name: Name | UnsetType = UNSET
    expires_us: TimeUs | UnsetType | None = UNSET
    models: Models | UnsetType = UNSET
    default_model: ModelName | UnsetType | None = UNSET
    requests_per_minute: PerMinute | UnsetType | None = UNSET
    budget_nano: Nano | UnsetType | None = UNSET
    strict: bool | UnsetType = UNSET
    deterministic: bool | UnsetType = UNSET
    parse_special: bool | UnsetType = UNSET


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key as operators see it: by its first and last characters."""

    id: str
    name: str
    head: str
    tail: str
    role: Role
    created_us: int
    expires_us: int | None
    revoked_us: int | None
    models: tuple[str, ...]
    default_model: str | None
    requests_per_minute: int | None
    budget_nano: int | None
    strict: bool
    deterministic: bool
    parse_special: bool


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """The answer that made the key: the only one that ever shows its value."""

    value: str


def shown(record: KeyRecord) -> KeyView:
    return msgspec.convert(record, KeyView, from_attributes=True)


async def list_keys(visit: Visit[Nothing, PageQuery]) -> Page[KeyView]:
    records = await stored(visit.services.keys.all)
    return page([shown(each) for each in records], [each.id for each in records], visit.query)


async def get_key(visit: Visit[Nothing, Nothing]) -> KeyView:
    return shown(await stored(visit.services.keys.get, visit.part("id")))


async def create_key(visit: Visit[KeyBody, Nothing]) -> NewKeyView:
    value = visit.services.mint_key()
    record = await _add(visit, keys.digest(value), keys.shown(value))
    return NewKeyView(value=value, **msgspec.structs.asdict(shown(record)))


async def import_key(visit: Visit[KeyImportBody, Nothing]) -> KeyView:
    value, sha256 = visit.body.value, visit.body.sha256
    if (value is None) == (sha256 is None):
        raise invalid("Give either 'value' or 'sha256'.", param="value")
    if value is not None:
        if not keys.plausible(value):
            least = keys.KEY_CHARACTERS_MIN
            message = f"A key is `sk-` and more, {least} printable characters or longer in all."
            raise invalid(message, param="value")
        return shown(await _add(visit, keys.digest(value), keys.shown(value)))
    digest = keys.parse_digest(sha256 or "")
    if digest is None:
        raise invalid("'sha256' is 64 hexadecimal digits.", param="sha256")
    ends = (f"sha256:{digest.hex()[:6]}", digest.hex()[-4:])
    return shown(await _add(visit, digest, ends))


async def change_key(visit: Visit[KeyChangeBody, Nothing]) -> KeyView:
    given = msgspec.structs.asdict(visit.body)
    changes = {name: value for name, value in given.items() if value is not UNSET}
    key_id, store = visit.part("id"), visit.services.keys
    before = await stored(store.get, key_id)
    check_default(
        changes.get("default_model", before.default_model), changes.get("models", before.models)
    )
    if not changes:
        return shown(before)
    changed = await stored(store.update, key_id, visit.actor, **changes)
    await visit.services.refresh()
    return shown(changed)


async def revoke_key(visit: Visit[Nothing, Nothing]) -> KeyView:
    revoked = await stored(visit.services.keys.revoke, visit.part("id"), visit.actor)
    await visit.services.refresh()
    return shown(revoked)


def check_default(default_model: str | None, models: tuple[str, ...]) -> None:
    """A default that the key may not use would refuse every request that relies on it."""
    if models and default_model is not None and default_model not in models:
        raise invalid("The default model is not among the key's models.", param="default_model")


async def _add(
    visit: Visit[KeyBody, Nothing] | Visit[KeyImportBody, Nothing],
    digest: bytes,
    ends: tuple[str, str],
) -> KeyRecord:
    body, services = visit.body, visit.services
    check_default(body.default_model, body.models)
    given = {name: getattr(body, name) for name in KeyBody.__struct_fields__}
    record = KeyRecord(
        id=services.new_id("key"),
        digest=digest,
        head=ends[0],
        tail=ends[1],
        created_us=services.clock_us(),
        **given,
    )
    await stored(services.keys.add, record, visit.actor)
    await services.refresh()
    return record


OPERATIONS = (
    Operation(
        id="adminlistkeys",
        tag="admin",
        method="GET",
        path="/admin/v1/keys",
        access=Access.ADMIN,
        run=list_keys,
        query=PageQuery,
        answer=Page[KeyView],
        errors=(400,),
    ),
    Operation(
        id="admincreatekey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys",
        access=Access.ADMIN,
        run=create_key,
        body=KeyBody,
        answer=NewKeyView,
        status=201,
        errors=(400,),
    ),
    Operation(
        id="adminimportkey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys/import",
        access=Access.ADMIN,
        run=import_key,
        body=KeyImportBody,
        answer=KeyView,
        status=201,
        errors=(400, 409),
    ),
    Operation(
        id="admingetkey",
        tag="admin",
        method="GET",
        path="/admin/v1/keys/{id}",
        access=Access.ADMIN,
        run=get_key,
        answer=KeyView,
        errors=(404,),
    ),
    Operation(
        id="adminchangekey",
        tag="admin",
        method="PATCH",
        path="/admin/v1/keys/{id}",
        access=Access.ADMIN,
        run=change_key,
        body=KeyChangeBody,
        answer=KeyView,
        errors=(400, 404),
    ),
    Operation(
        id="adminrevokekey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys/{id}/revoke",
        access=Access.ADMIN,
        run=revoke_key,
        answer=KeyView,
        errors=(404,),
    ),
)
