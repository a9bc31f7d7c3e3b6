"""/admin/v1/keys: make, read, change, rotate, import and revoke keys. A key's value is shown once,
when made.

A team admin reaches the keys of its own party and of all under it, and makes users' keys only.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from baton.admission import keys
from baton.errors import RequestError, forbidden, invalid
from baton.stores.base import BudgetRecord, KeyRecord, Role
from baton.web.admin import (
    ModelName,
    Name,
    Nano,
    Page,
    PageQuery,
    Seen,
    TimeUs,
    overtaken,
    page,
    stored,
)
from baton.web.limits import (
    AtOnce,
    Budgets,
    KeepDays,
    Models,
    Networks,
    PerMinute,
    check_keep_days,
    checked,
)
from baton.web.operation import Access, Nothing, Operation, Visit

OwnerId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
OverlapS = Annotated[int, msgspec.Meta(ge=0, le=366 * 86_400)]


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
    owner: OwnerId | None = None
    """The party that it belongs to, for good."""
    tokens_per_minute: PerMinute | None = None
    requests_at_once: AtOnce | None = None
    networks: Networks = ()
    budgets: Budgets = ()
    """Beside `budget_nano`."""
    keep_content_days: KeepDays = 0
    """For so many days what is asked and answered with it is kept, sealed; 0: never."""


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
    tokens_per_minute: PerMinute | UnsetType | None = UNSET
    requests_at_once: AtOnce | UnsetType | None = UNSET
    networks: Networks | UnsetType = UNSET
    budgets: Budgets | UnsetType = UNSET
    keep_content_days: KeepDays | UnsetType = UNSET
    """0 removes what was kept; fewer days hold for what was kept before, too, more do not."""


class KeyRotateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the present value stays valid beside the new one."""

    overlap_s: OverlapS = 86_400
    replaces: str | None = None
    """The `tail` of the value that is to be replaced; refused (409) where the key has another by
    now. So of two such requests, or of one that is sent again, only the first is done."""


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
    owner: str | None
    tokens_per_minute: int | None
    requests_at_once: int | None
    networks: tuple[str, ...]
    budgets: tuple[BudgetRecord, ...]
    keep_content_days: int
    previous_until_us: int | None


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """The answer that made the key: the only one that ever shows its value."""

    value: str


def shown(record: KeyRecord) -> KeyView:
    return msgspec.convert(record, KeyView, from_attributes=True)


class KeysQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    owner: str | None = None
    """Only the keys of this party and of all under it."""


async def list_keys(visit: Visit[Nothing, KeysQuery]) -> Page[KeyView]:
    owners, asked = await reach(visit), visit.query
    if asked.owner is not None:
        under = await stored(visit.services.parties.reach, asked.owner)
        owners = under if owners is None else owners & under
    records = await stored(visit.services.keys.all, owners)
    return page([shown(each) for each in records], [each.id for each in records], asked)


async def get_key(visit: Visit[Nothing, Nothing]) -> KeyView:
    return shown(await stored(visit.services.keys.get, visit.part("id"), await reach(visit)))


async def reach(visit: Visit[Any, Any]) -> frozenset[str] | None:
    """The parties whose keys the caller may touch; None: all, and those of nobody."""
    within = visit.within
    return None if within is None else await stored(visit.services.parties.reach, within)


def check_power(visit: Visit[Any, Any], role: Role) -> None:
    """Who runs a team makes and changes users' keys, not those that run anything, nor its own."""
    if visit.within is not None and role != "user":
        raise forbidden("Only an admin may do that with a key of this role.")


async def create_key(visit: Visit[KeyBody, Nothing]) -> NewKeyView:
    value = visit.services.mint_key()
    record = await _add(visit, keys.digest(value), keys.shown(value))
    return NewKeyView(value=value, **_fields(shown(record)))


def _fields(view: KeyView) -> dict[str, Any]:
    """Not `asdict`, which would take the budgets apart too."""
    return {name: getattr(view, name) for name in view.__struct_fields__}


async def import_key(visit: Visit[KeyImportBody, Nothing]) -> KeyView:
    value, sha256 = visit.body.value, visit.body.sha256
    if (value is None) == (sha256 is None):
        raise invalid("Give either 'value' or 'sha256'.", param="value")
    if value is not None and not keys.plausible(value):
        least = keys.KEY_CHARACTERS_MIN
        message = f"A key is `sk-` and more, {least} printable characters or longer in all."
        raise invalid(message, param="value")
    if sha256 is not None and keys.parse_digest(sha256) is None:
        raise invalid("'sha256' is 64 hexadecimal digits.", param="sha256")
    found = keys.stored_as(value or sha256 or "")
    assert found is not None, "it was looked at"
    return shown(await _add(visit, *found))


async def change_key(visit: Visit[KeyChangeBody, Nothing], seen: Seen | None = None) -> KeyView:
    given = {name: getattr(visit.body, name) for name in visit.body.__struct_fields__}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not UNSET}
    key_id, store, owners = visit.part("id"), visit.services.keys, await reach(visit)
    before = await stored(store.get, key_id, owners)
    check_power(visit, before.role)
    check_default(
        changes.get("default_model", before.default_model), changes.get("models", before.models)
    )
    if not changes:
        return shown(before)
    if (days := changes.get("keep_content_days", 0)) > before.keep_content_days:
        check_keep_days(days, visit.services.settings.content_days_max)
    changed = await stored(store.update, key_id, visit.actor, owners, seen, **checked(changes))
    await visit.services.refresh()
    return shown(changed)


async def revoke_key(visit: Visit[Nothing, Nothing]) -> KeyView:
    store, owners = visit.services.keys, await reach(visit)
    check_power(visit, (await stored(store.get, visit.part("id"), owners)).role)
    revoked = await stored(store.revoke, visit.part("id"), visit.actor, owners)
    await visit.services.refresh()
    return shown(revoked)


async def rotate_key(visit: Visit[KeyRotateBody, Nothing]) -> NewKeyView:
    services, owners = visit.services, await reach(visit)
    present = await stored(services.keys.get, visit.part("id"), owners)
    check_power(visit, present.role)
    if visit.body.replaces not in (None, present.tail):
        raise overtaken(f"{present.id} has a new value by now")
    value = services.mint_key()
    head, tail = keys.shown(value)
    fresh = msgspec.structs.replace(
        present,
        previous_digest=present.digest,
        digest=keys.digest(value),
        head=head,
        tail=tail,
        previous_until_us=services.clock_us() + visit.body.overlap_s * 1_000_000,
    )
    rotated = await stored(services.keys.rotate, fresh, visit.actor)
    await services.refresh()
    return NewKeyView(value=value, **_fields(shown(rotated)))


def check_default(default_model: str | None, models: tuple[str, ...]) -> None:
    """A default that the key may not use would refuse every request that relies on it."""
    if models and default_model is not None and default_model not in models:
        raise invalid("The default model is not among the key's models.", param="default_model")


async def check_owner(visit: Visit[Any, Any], role: Role, owner: str | None) -> None:
    """A team admin runs the team or organisation that its key belongs to: it must have one."""
    if role != "team_admin":
        return
    if owner is None or (await stored(visit.services.parties.get, owner)).kind == "user":
        message = "A team admin's key belongs to a team or an organisation: give its 'owner'."
        raise invalid(message, param="owner")


async def _add(
    visit: Visit[KeyBody, Nothing] | Visit[KeyImportBody, Nothing],
    digest: bytes,
    ends: tuple[str, str],
) -> KeyRecord:
    body, services = visit.body, visit.services
    check_default(body.default_model, body.models)
    check_keep_days(body.keep_content_days, services.settings.content_days_max)
    check_power(visit, body.role)
    await check_owner(visit, body.role, body.owner)
    owners = await reach(visit)
    if owners is not None and body.owner not in owners:
        raise RequestError(
            404, "Not found: there is no such party.", param="owner", code="not_found"
        )
    given: dict[str, Any] = {name: getattr(body, name) for name in KeyBody.__struct_fields__}
    record = KeyRecord(
        id=services.new_id("key"),
        digest=digest,
        head=ends[0],
        tail=ends[1],
        created_us=services.clock_us(),
        **checked(given),
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
        access=Access.TEAM,
        run=list_keys,
        query=KeysQuery,
        answer=Page[KeyView],
        errors=(400,),
    ),
    Operation(
        id="admincreatekey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys",
        access=Access.TEAM,
        run=create_key,
        body=KeyBody,
        answer=NewKeyView,
        status=201,
        errors=(400, 404),
    ),
    Operation(
        id="adminimportkey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys/import",
        access=Access.TEAM,
        run=import_key,
        body=KeyImportBody,
        answer=KeyView,
        status=201,
        errors=(400, 404, 409),
    ),
    Operation(
        id="admingetkey",
        tag="admin",
        method="GET",
        path="/admin/v1/keys/{id}",
        access=Access.TEAM,
        run=get_key,
        answer=KeyView,
        errors=(404,),
    ),
    Operation(
        id="adminchangekey",
        tag="admin",
        method="PATCH",
        path="/admin/v1/keys/{id}",
        access=Access.TEAM,
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
        access=Access.TEAM,
        run=revoke_key,
        answer=KeyView,
        errors=(404,),
    ),
    Operation(
        id="adminrotatekey",
        tag="admin",
        method="POST",
        path="/admin/v1/keys/{id}/rotate",
        access=Access.TEAM,
        run=rotate_key,
        body=KeyRotateBody,
        answer=NewKeyView,
        errors=(400, 404, 409),
    ),
)
