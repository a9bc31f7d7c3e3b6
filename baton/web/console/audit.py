"""The audit log: who changed what, what it was before and what it became."""

from typing import get_args

import msgspec
from starlette.responses import Response

from baton.stores.base import PartyKind
from baton.web.admin import Seq
from baton.web.admin_audit import Audited, AuditQuery, list_audit
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.operation import Access

PER_PAGE = 50
KINDS = ("key", *get_args(PartyKind), "upstream", "price", "content", "session", "master_key")


class Asked(msgspec.Struct, frozen=True):
    actor: str | None = None
    kind: str | None = None
    object_id: str | None = None
    before: Seq | None = None


class Difference(msgspec.Struct, frozen=True):
    """One field, as texts."""

    name: str
    before: str
    after: str


async def show_audit(call: Call) -> Response:
    asked = call.query(Asked)
    query = AuditQuery(**msgspec.structs.asdict(asked), limit=PER_PAGE)
    found = await list_audit(call.visit(query=query))
    values = {
        "asked": asked,
        "kinds": KINDS,
        "rows": [(one, differences(one)) for one in found.data],
        "next": found.data[-1].seq if found.has_more else None,
    }
    return call.page("audit.html", values)


def differences(record: Audited) -> list[Difference]:
    """What changed, field by field; anything else stands there as it is."""
    if record.detail is None:
        return []
    told = msgspec.json.decode(record.detail)
    if not isinstance(told, dict):
        return [Difference("", "", _text(told))]
    if not {"before", "after"} & told.keys():
        told = {"before": {}, "after": {name: value for name, value in told.items() if value}}
    before, after = told.get("before") or {}, told.get("after") or {}
    names = [name for name in dict.fromkeys([*before, *after]) if name != "created_us"]
    return [Difference(name, _text(before.get(name)), _text(after.get(name))) for name in names]


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


SCREENS = (Screen(method="GET", path="/console/audit", access=Access.ADMIN, run=show_audit),)
