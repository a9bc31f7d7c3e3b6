"""/admin/v1/audit: who changed what, what it was before and what it became. Never a secret."""

import msgspec

from baton.stores.base import ChangeRecord
from baton.web.admin import Page, PageLimit, Seq, stored
from baton.web.operation import Access, Nothing, Operation, Visit


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which changes: all that is given must fit."""

    actor: str | None = None
    """`key:<id>`, `cli` or `bootstrap`."""
    kind: str | None = None
    object_id: str | None = None
    before: Seq | None = None
    """The number of the last change of the page before."""
    limit: PageLimit = 100


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `detail` holds the fields that changed, as they were and as they became."""

    seq: int
    at_us: int
    actor: str
    kind: str
    object_id: str
    action: str
    detail: msgspec.Raw | None


def audited(record: ChangeRecord) -> Audited:
    fields = msgspec.structs.asdict(record)
    detail = fields.pop("detail")
    return Audited(**fields, detail=msgspec.Raw(detail.encode()) if detail else None)


async def list_audit(visit: Visit[Nothing, AuditQuery]) -> Page[Audited]:
    asked = visit.query
    fitting = {
        name: value
        for name in ("actor", "kind", "object_id")
        if (value := getattr(asked, name)) is not None
    }
    changes = visit.services.changes
    found = await stored(changes.newest_first, asked.before, asked.limit + 1, **fitting)
    records = [audited(each) for each in found[: asked.limit]]
    return Page(data=records, has_more=len(found) > asked.limit)


OPERATIONS = (
    Operation(
        id="adminaudit",
        tag="admin",
        method="GET",
        path="/admin/v1/audit",
        access=Access.ADMIN,
        run=list_audit,
        query=AuditQuery,
        answer=Page[Audited],
        errors=(400,),
    ),
)
