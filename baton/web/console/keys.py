"""Keys: made (the value is shown once), limited, rotated, revoked — by the operations of
/admin/v1/keys, whose rules for team admins hold here too.
"""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from starlette.responses import Response

from baton.stores.base import KeyRecord, PartyRecord, Role
from baton.stores.keys import CHANGEABLE
from baton.web import admin_keys
from baton.web.admin import first, start_after, stored
from baton.web.console import fields
from baton.web.console.balances import budgets_of
from baton.web.console.call import MADE_COOKIE, Call
from baton.web.console.forms import Form
from baton.web.console.screen import Screen
from baton.web.operation import Access

PER_PAGE = 50
MADE_S = 120
"""How long a new value waits to be shown."""
FLAGS = ("strict", "deterministic", "parse_special")


class KeysQuery(msgspec.Struct, frozen=True):
    q: str = ""
    """Part of a name, an id, or the end of a key."""
    owner: str = ""
    state: str = "active"
    after: str = ""
    done: str = ""


async def list_keys(call: Call) -> Response:
    asked = call.query(KeysQuery)
    owners = await _reach(call)
    records = await stored(call.services.keys.all, owners)
    now_us = call.services.clock_us()
    newest = records[::-1]
    start = start_after([one.id for one in newest], asked.after)  # it may not fit any more
    shown = first([one for one in newest[start:] if _fits(one, asked, now_us)], PER_PAGE)
    parties = await _parties(call)
    values = {
        "asked": asked,
        "records": shown.data,
        "states": {one.id: state(one, now_us) for one in shown.data},
        "budgets": await budgets_of(call, shown.data),
        "next": shown.data[-1].id if shown.has_more else "",
        "parties": {one.id: one for one in parties},
        "owners": [one for one in parties if one.closed_us is None],
        "roles": get_args(Role) if call.record.role == "admin" else ("user",),
        "any": bool(records),
        "spans": fields.SPANS,
        "units": fields.UNITS,
        "days_max": call.services.settings.content_days_max,
    }
    return call.page("keys.html", values)


def _fits(record: KeyRecord, asked: KeysQuery, now_us: int) -> bool:
    if asked.owner and record.owner != asked.owner:
        return False
    if asked.state in ("active", "ended") and (state(record, now_us) == "active") != (
        asked.state == "active"
    ):
        return False
    text = asked.q.strip().lower()
    return not text or text in f"{record.name} {record.id} {record.head}…{record.tail}".lower()


def state(record: KeyRecord, now_us: int) -> str:
    """active | revoked | expired"""
    if record.revoked_us is not None:
        return "revoked"
    return "expired" if (record.expires_us or now_us + 1) <= now_us else "active"


async def create_key(call: Call) -> Response:
    form = call.form
    given = {
        **_changeable(form),
        "role": form.text("role") or "user",
        "owner": form.text("owner") or None,
    }
    made = await admin_keys.create_key(call.visit(fields.body(admin_keys.KeyBody, given)))
    return _show_once(call, made)


async def show_key(call: Call) -> Response:
    record = await stored(call.services.keys.get, call.part("id"), await _reach(call))
    parties = {one.id: one for one in await _parties(call)}
    values = {
        "record": record,
        "state": state(record, call.services.clock_us()),
        "budgets": (await budgets_of(call, [record]))[record.id],
        "owner": parties.get(record.owner or ""),
        "changeable": call.record.role == "admin" or record.role == "user",
        "done": call.request.query_params.get("done", ""),
        "seen": fields.told(record, CHANGEABLE),
        "spans": fields.SPANS,
        "units": fields.UNITS,
        "days_max": call.services.settings.content_days_max,
    }
    return call.page("key.html", values)


async def change_key(call: Call) -> Response:
    given = fields.changed(call.form, _changeable)
    body = fields.body(admin_keys.KeyChangeBody, given)
    changed = await admin_keys.change_key(call.visit(body), fields.seen(call.form))
    return call.go(f"keys/{changed.id}", done="changed")


async def rotate_key(call: Call) -> Response:
    overlap = fields.whole(call.form, "overlap_hours")
    tail = call.form.text("tail") or None
    given = {"overlap_s": 3_600 * (24 if overlap is None else overlap), "replaces": tail}
    body = fields.body(admin_keys.KeyRotateBody, given)
    made = await admin_keys.rotate_key(call.visit(body))
    return _show_once(call, made, done="rotated")


def _show_once(call: Call, made: admin_keys.NewKeyView, **query: str) -> Response:
    """On to a page that may be loaded again without making another one. The value goes along
    sealed, for this visitor alone: which worker shows it nobody knows."""
    response = call.go(f"keys/{made.id}/made", **query)
    sealed = call.services.gate.conceal(made.value, _about(call, made.id))
    call.keep(response, MADE_COOKIE, sealed, MADE_S, http_only=True)
    return response


async def show_made(call: Call) -> Response:
    """The value, once; then the key without it."""
    record = await stored(call.services.keys.get, call.part("id"), await _reach(call))
    sealed = call.request.cookies.get(MADE_COOKIE, "")
    value = call.services.gate.revealed(sealed, _about(call, record.id))
    if value is None:
        return call.go(f"keys/{record.id}")
    rotated = call.request.query_params.get("done") == "rotated"
    response = call.page("key_made.html", {"made": record, "value": value, "rotated": rotated})
    if call.request.method != "HEAD":  # who asks for the head alone has seen nothing
        call.keep(response, MADE_COOKIE, "", 0, http_only=True)
    return response


def _about(call: Call, key_id: str) -> str:
    return f"{key_id} for {call.record.id}"


async def revoke_key(call: Call) -> Response:
    revoked = await admin_keys.revoke_key(call.visit())
    return call.go(f"keys/{revoked.id}", done="revoked")


def _changeable(form: Form) -> dict[str, Any]:
    return {
        "name": form.text("name"),
        "default_model": form.text("default_model") or None,
        "budget_nano": fields.usd(form, "budget"),
        "keep_content_days": fields.whole(form, "keep_content_days") or 0,
        **{flag: flag in form for flag in FLAGS},
        **fields.limits(form),
    }


async def _reach(call: Call) -> frozenset[str] | None:
    return await admin_keys.reach(call.visit())


async def _parties(call: Call) -> Sequence[PartyRecord]:
    return await stored(call.services.parties.all, None, call.visit().within)


SCREENS = (
    Screen(method="GET", path="/console/keys", access=Access.TEAM, run=list_keys),
    Screen(method="POST", path="/console/keys", access=Access.TEAM, run=create_key),
    Screen(method="GET", path="/console/keys/{id}", access=Access.TEAM, run=show_key),
    Screen(method="POST", path="/console/keys/{id}", access=Access.TEAM, run=change_key),
    Screen(method="GET", path="/console/keys/{id}/made", access=Access.TEAM, run=show_made),
    Screen(method="POST", path="/console/keys/{id}/rotate", access=Access.TEAM, run=rotate_key),
    Screen(method="POST", path="/console/keys/{id}/revoke", access=Access.TEAM, run=revoke_key),
)
