"""Organisations, teams and users: who keys belong to, with limits for all keys under them — by the
operations of /admin/v1/organisations and so on, whose rules for team admins hold here too.
"""

from typing import get_args

from starlette.responses import Response

from baton.errors import invalid
from baton.stores.base import PartyKind, PartyRecord
from baton.stores.parties import CHANGEABLE
from baton.web import admin_parties
from baton.web.admin import stored
from baton.web.console import fields
from baton.web.console.balances import budgets_of
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.operation import Access

KINDS: tuple[PartyKind, ...] = get_args(PartyKind)


async def list_accounts(call: Call) -> Response:
    records = await stored(call.services.parties.all, None, call.visit().within)
    values = {
        "rows": ordered(records),
        "budgets": await budgets_of(call, records),
        "parents": [one for one in records if one.kind != "user" and one.closed_us is None],
        "kinds": KINDS if call.record.role == "admin" else KINDS[1:],
        "spans": fields.SPANS,
        "units": fields.UNITS,
    }
    return call.page("accounts.html", values)


def ordered(records: list[PartyRecord]) -> list[tuple[int, PartyRecord]]:
    """As a tree: each under its parent, with its depth."""
    ids = {one.id for one in records}
    children: dict[str, list[PartyRecord]] = {}
    for one in records:
        children.setdefault(one.parent if one.parent in ids else "", []).append(one)

    def under(parent: str, depth: int) -> list[tuple[int, PartyRecord]]:
        return [
            row
            for one in children.get(parent, [])
            for row in ((depth, one), *under(one.id, depth + 1))
        ]

    return under("", 0)


async def create_account(call: Call) -> Response:
    kind = _kind(call.form.text("kind"))
    given = {"name": call.form.text("name"), **fields.limits(call.form)}
    if kind != "organisation":
        given["parent"] = call.form.text("parent")
    elif call.record.role != "admin":
        raise invalid("Only an admin makes organisations.", param="kind")
    wanted = admin_parties.OrganisationBody if kind == "organisation" else admin_parties.MemberBody
    made = await admin_parties.maker(kind)(call.visit(fields.body(wanted, given)))
    return call.go(f"accounts/{made.id}", done="made")


async def show_account(call: Call) -> Response:
    within = call.visit().within
    record = await stored(call.services.parties.get, call.part("id"), within)
    keys = await stored(call.services.keys.all, frozenset((record.id,)))
    parents = {one.id: one for one in await stored(call.services.parties.all, None, within)}
    values = {
        "record": record,
        "budgets": (await budgets_of(call, [record]))[record.id],
        "parent": parents.get(record.parent),
        "keys": keys,
        "changeable": record.id != within
        and (record.kind != "organisation" or call.record.role == "admin"),
        "done": call.request.query_params.get("done", ""),
        "seen": fields.told(record, CHANGEABLE),
        "spans": fields.SPANS,
        "units": fields.UNITS,
    }
    return call.page("account.html", values)


async def change_account(call: Call) -> Response:
    given = fields.changed(
        call.form, lambda form: {"name": form.text("name"), **fields.limits(form)}
    )
    body = fields.body(admin_parties.PartyChangeBody, given)
    change = admin_parties.changer(await _present_kind(call), fields.seen(call.form))
    changed = await change(call.visit(body))
    return call.go(f"accounts/{changed.id}", done="changed")


async def close_account(call: Call) -> Response:
    closed = await admin_parties.closer(await _present_kind(call))(call.visit())
    return call.go(f"accounts/{closed.id}", done="closed")


async def _present_kind(call: Call) -> PartyKind:
    within = call.visit().within
    found: PartyRecord = await stored(call.services.parties.get, call.part("id"), within)
    return found.kind


def _kind(text: str) -> PartyKind:
    for kind in KINDS:
        if text == kind:
            return kind
    raise invalid("A party is an organisation, a team or a user.", param="kind")


SCREENS = (
    Screen(method="GET", path="/console/accounts", access=Access.TEAM, run=list_accounts),
    Screen(method="POST", path="/console/accounts", access=Access.TEAM, run=create_account),
    Screen(method="GET", path="/console/accounts/{id}", access=Access.TEAM, run=show_account),
    Screen(method="POST", path="/console/accounts/{id}", access=Access.TEAM, run=change_account),
    Screen(
        method="POST", path="/console/accounts/{id}/close", access=Access.TEAM, run=close_account
    ),
)
