"""/admin/v1/organisations, teams, users: who keys belong to, with limits of their own.

An admin sees and changes all. A team admin sees its own party and what is under it, and changes
only what is under it: nobody lifts its own limits. Whatever lies beyond is a 404, as if it were not
there.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from baton.errors import forbidden, invalid
from baton.stores import parties
from baton.stores.base import BudgetRecord, PartyKind, PartyRecord, Unfit
from baton.web.admin import Name, Page, PageQuery, Seen, TimeUs, page, stored
from baton.web.limits import AtOnce, Budgets, Models, Networks, PerMinute, checked
from baton.web.operation import Access, AnyOperation, Nothing, Operation, Visit

PartyId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
PATHS: dict[PartyKind, str] = {
    "organisation": "organisations",
    "team": "teams",
    "user": "users",
}


class OrganisationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new organisation. What is left out is unlimited."""

    name: Name
    expires_us: TimeUs | None = None
    models: Models = ()
    networks: Networks = ()
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    requests_at_once: AtOnce | None = None
    budgets: Budgets = ()


class MemberBody(OrganisationBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new team, or a new user: also what it belongs to."""

    parent: PartyId


class PartyChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes; what is left out stays. `budgets` replaces all budgets."""

    name: Name | UnsetType = UNSET
    expires_us: TimeUs | UnsetType | None = UNSET
    models: Models | UnsetType = UNSET
    networks: Networks | UnsetType = UNSET
    requests_per_minute: PerMinute | UnsetType | None = UNSET
    tokens_per_minute: PerMinute | UnsetType | None = UNSET
    requests_at_once: AtOnce | UnsetType | None = UNSET
    budgets: Budgets | UnsetType = UNSET


class PartyView(msgspec.Struct, frozen=True, kw_only=True):
    """A party as operators see it."""

    id: str
    kind: PartyKind
    name: str
    parent: str
    created_us: int
    closed_us: int | None
    expires_us: int | None
    models: tuple[str, ...]
    networks: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    requests_at_once: int | None
    budgets: tuple[BudgetRecord, ...]


def shown(record: PartyRecord) -> PartyView:
    return msgspec.convert(record, PartyView, from_attributes=True)


def lister(kind: PartyKind) -> Callable[[Visit[Nothing, PageQuery]], Awaitable[Page[PartyView]]]:
    async def list_parties(visit: Visit[Nothing, PageQuery]) -> Page[PartyView]:
        records = await stored(visit.services.parties.all, kind, visit.within)
        return page([shown(each) for each in records], [each.id for each in records], visit.query)

    return list_parties


def getter(kind: PartyKind) -> Callable[[Visit[Nothing, Nothing]], Awaitable[PartyView]]:
    async def get_party(visit: Visit[Nothing, Nothing]) -> PartyView:
        return shown(await stored(visit.services.parties.get, visit.part("id"), visit.within, kind))

    return get_party


def maker(kind: PartyKind) -> Callable[[Visit[Any, Nothing]], Awaitable[PartyView]]:
    async def create_party(visit: Visit[Any, Nothing]) -> PartyView:
        services = visit.services
        fields = checked({name: getattr(visit.body, name) for name in visit.body.__struct_fields__})
        check_name(visit.body.name)
        record = PartyRecord(
            id=services.new_id(kind), kind=kind, created_us=services.clock_us(), **fields
        )
        await stored(services.parties.add, record, visit.actor, visit.within)
        await services.refresh()
        return shown(record)

    return create_party


def changer(
    kind: PartyKind, seen: Seen | None = None
) -> Callable[[Visit[PartyChangeBody, Nothing]], Awaitable[PartyView]]:
    async def change_party(visit: Visit[PartyChangeBody, Nothing]) -> PartyView:
        party_id, store = visit.part("id"), visit.services.parties
        given = {name: getattr(visit.body, name) for name in visit.body.__struct_fields__}
        changes = checked({name: value for name, value in given.items() if value is not UNSET})
        present = await stored(store.get, party_id, visit.within, kind)
        check_not_own(visit, present)
        if changes.get("name", present.name) != present.name:
            check_name(changes["name"])
        if not changes:
            return shown(present)
        changed = await stored(store.update, party_id, visit.actor, visit.within, seen, **changes)
        await visit.services.refresh()
        return shown(changed)

    return change_party


def closer(kind: PartyKind) -> Callable[[Visit[Nothing, Nothing]], Awaitable[PartyView]]:
    async def close_party(visit: Visit[Nothing, Nothing]) -> PartyView:
        party_id, store = visit.part("id"), visit.services.parties
        check_not_own(visit, await stored(store.get, party_id, visit.within, kind))
        closed = await stored(store.close, party_id, visit.actor, visit.within)
        await visit.services.refresh()
        return shown(closed)

    return close_party


def check_name(name: str) -> None:
    """Raises RequestError (400)."""
    try:
        parties.check_name(name)
    except Unfit as error:
        raise invalid(f"Invalid 'name': {error}.", "name") from None


def check_not_own(visit: Visit[Any, Any], record: PartyRecord) -> None:
    """Who runs a party does not change what limits it."""
    if visit.within == record.id:
        raise forbidden("Only an admin changes the party that your key belongs to.")


def operations(kind: PartyKind) -> tuple[AnyOperation, ...]:
    """The five operations on parties of one kind. Organisations are made by admins alone."""
    path, plural = f"/admin/v1/{PATHS[kind]}", PATHS[kind]
    making = Access.ADMIN if kind == "organisation" else Access.TEAM
    return (
        Operation(
            id=f"adminlist{plural}",
            tag="admin",
            method="GET",
            path=path,
            access=Access.TEAM,
            run=lister(kind),
            query=PageQuery,
            answer=Page[PartyView],
            errors=(400,),
        ),
        Operation(
            id=f"admincreate{kind}",
            tag="admin",
            method="POST",
            path=path,
            access=making,
            run=maker(kind),
            body=OrganisationBody if kind == "organisation" else MemberBody,
            answer=PartyView,
            status=201,
            errors=(400, 404, 409),
        ),
        Operation(
            id=f"adminget{kind}",
            tag="admin",
            method="GET",
            path=f"{path}/{{id}}",
            access=Access.TEAM,
            run=getter(kind),
            answer=PartyView,
            errors=(404,),
        ),
        Operation(
            id=f"adminchange{kind}",
            tag="admin",
            method="PATCH",
            path=f"{path}/{{id}}",
            access=making,
            run=changer(kind),
            body=PartyChangeBody,
            answer=PartyView,
            errors=(400, 404, 409),
        ),
        Operation(
            id=f"adminclose{kind}",
            tag="admin",
            method="POST",
            path=f"{path}/{{id}}/close",
            access=making,
            run=closer(kind),
            answer=PartyView,
            errors=(404,),
        ),
    )


OPERATIONS = (*operations("organisation"), *operations("team"), *operations("user"))
