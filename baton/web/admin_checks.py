"""POST /admin/v1/upstreams/{name}/check: ask an upstream what it can do, by some tiny calls."""

import msgspec

from baton.errors import invalid
from baton.upstreams import registry
from baton.upstreams.checking import Effect, check, remedy
from baton.upstreams.endpoint import TransportLimits
from baton.web.admin import ModelName, stored
from baton.web.operation import Access, Nothing, Operation, Visit


class UpstreamCheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model to ask; the first one where it is left out."""

    model: ModelName | None = None
    """Public name of the model to ask."""


class CheckedCapability(msgspec.Struct, frozen=True, kw_only=True):
    """One capability, as its dialect declares it and as it was found."""

    capability: str
    declared: bool
    found: Effect
    detail: str
    """What came instead: never what the server said."""
    remedy: str


class UpstreamChecked(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one upstream, as found."""

    data: list[CheckedCapability]


async def check_upstream(visit: Visit[UpstreamCheckBody, Nothing]) -> UpstreamChecked:
    """Costs what some twenty calls of a few tokens cost there."""
    record = await stored(visit.services.upstreams.get, visit.part("name"), secrets=True)
    public = visit.body.model or next(iter(record.models), "")
    if public not in record.models:
        raise invalid("The upstream has no such model.", param="model")
    try:
        upstream = registry.build(record, TransportLimits())
    except ValueError as error:  # its dialect was a package's that is gone, or a hand wrote it
        raise invalid(f"The upstream cannot be used: {error}.") from None
    try:
        rows = await check(upstream, record.models[public])
    finally:
        await upstream.close()
    shown = [
        CheckedCapability(
            capability=row.capability,
            declared=row.declared,
            found=row.found,
            detail=row.detail,
            remedy=remedy(row),
        )
        for row in rows
    ]
    return UpstreamChecked(data=shown)


OPERATIONS = (
    Operation(
        id="admincheckupstream",
        tag="admin",
        method="POST",
        path="/admin/v1/upstreams/{name}/check",
        access=Access.ADMIN,
        run=check_upstream,
        body=UpstreamCheckBody,
        answer=UpstreamChecked,
        errors=(400, 404),
    ),
)
