"""/admin/v1/models, prices, usage, changes: what is offered, what it costs, what was used, who
changed what.
"""

import datetime
from typing import Annotated

import msgspec

from baton.errors import invalid
from baton.stores.base import ChangeRecord, PriceRecord, UsageRecord
from baton.web.admin import ModelName, Nano, Page, PageLimit, PageQuery, TimeUs, page, stored
from baton.web.models import found_models
from baton.web.operation import Access, Nothing, Operation, Visit
from baton.web.services import UsageGroup, UsageQuery

USAGE_DAYS = 30
Pico = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
"""Per token: up to 1,000 USD for one, so that no product of a request leaves 64 bits unnoticed."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream of a model."""

    upstream: str
    model: str
    """The upstream's own name of it."""
    dialect: str
    priority: int
    weight: int


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A public model and where its requests may go."""

    id: str
    embedded: bool
    upstreams: list[Place]


class PriceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price from a time on. Per token in pico-USD, which is micro-USD per million tokens."""

    model: ModelName
    upstream: str | None = None
    """null: what callers pay; a name: what it costs the operator there."""
    effective_us: TimeUs | None = None
    """null: from now on."""
    input_pico: Pico = 0
    cached_input_pico: Pico | None = None
    """null: as input_pico."""
    output_pico: Pico = 0
    request_nano: Nano = 0
    """Per request, in nano-USD."""


class PricesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str | None = None
    after: str = ""
    limit: PageLimit = 100


YEARS = range(1971, 9999)
"""A month before and a day after are dates too."""


class UsageAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests to sum up, and by what."""

    group_by: tuple[UsageGroup, ...] = ("day",)
    since: datetime.date | None = None
    """The first day (UTC); 30 days before `until` by default."""
    until: datetime.date | None = None
    """The last day (UTC); today by default."""
    key: str | None = None
    model: str | None = None


class ChangesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    limit: PageLimit = 100


async def list_model_routes(visit: Visit[Nothing, Nothing]) -> Page[ModelView]:
    catalogue = visit.services.catalogue()
    views = []
    for found in found_models(catalogue, visit.services.embedded).values():
        records = [catalogue.upstreams[name] for name in found.upstreams]
        places = [
            Place(
                upstream=record.name,
                model=record.models[found.name],
                dialect=record.dialect,
                priority=record.priority,
                weight=record.weight,
            )
            for record in sorted(records, key=lambda record: (record.priority, record.name))
        ]
        views.append(ModelView(id=found.name, embedded=found.embedded, upstreams=places))
    return Page(data=views, has_more=False)


async def list_prices(visit: Visit[Nothing, PricesQuery]) -> Page[PriceRecord]:
    asked = visit.query
    records = [
        record
        for record in await stored(visit.services.prices.all)
        if asked.model in (None, record.model)
    ]
    versions = [str(record.version) for record in records]
    return page(records, versions, PageQuery(asked.after, asked.limit))


async def set_price(visit: Visit[PriceBody, Nothing]) -> PriceRecord:
    services, body = visit.services, visit.body
    given = msgspec.structs.asdict(body)
    given["effective_us"] = body.effective_us or services.clock_us()
    stored_price = await stored(services.prices.set, PriceRecord(version=0, **given), visit.actor)
    await services.refresh()
    return stored_price


async def report_usage(visit: Visit[Nothing, UsageAsked]) -> Page[UsageRecord]:
    asked = visit.query
    for name, day in (("since", asked.since), ("until", asked.until)):
        if day is not None and day.year not in YEARS:
            raise invalid(f"'{name}' must lie in the years from 1971 to 9998.", param=name)
    until = asked.until or day_of(visit.services.clock_us())
    since = asked.since or until - datetime.timedelta(days=USAGE_DAYS)
    if since > until:
        raise invalid("'since' must not be after 'until'.", param="since")
    query = UsageQuery(
        group_by=tuple(dict.fromkeys(asked.group_by)),
        from_us=start_us(since),
        until_us=start_us(until + datetime.timedelta(days=1)),
        key_id=asked.key,
        model=asked.model,
    )
    return Page(data=list(await stored(visit.services.usage, query)), has_more=False)


def day_of(at_us: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).date()


def start_us(day: datetime.date) -> int:
    """The first microsecond of a day."""
    return round(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()) * 10**6


async def list_changes(visit: Visit[Nothing, ChangesQuery]) -> Page[ChangeRecord]:
    asked = visit.query
    found = await stored(visit.services.changes.since, asked.after, asked.limit + 1)
    return Page(data=found[: asked.limit], has_more=len(found) > asked.limit)


OPERATIONS = (
    Operation(
        id="adminlistmodels",
        tag="admin",
        method="GET",
        path="/admin/v1/models",
        access=Access.ADMIN,
        run=list_model_routes,
        answer=Page[ModelView],
    ),
    Operation(
        id="adminlistprices",
        tag="admin",
        method="GET",
        path="/admin/v1/prices",
        access=Access.ADMIN,
        run=list_prices,
        query=PricesQuery,
        answer=Page[PriceRecord],
        errors=(400,),
    ),
    Operation(
        id="adminsetprice",
        tag="admin",
        method="POST",
        path="/admin/v1/prices",
        access=Access.ADMIN,
        run=set_price,
        body=PriceBody,
        answer=PriceRecord,
        status=201,
        errors=(400,),
    ),
    Operation(
        id="adminusage",
        tag="admin",
        method="GET",
        path="/admin/v1/usage",
        access=Access.ADMIN,
        run=report_usage,
        query=UsageAsked,
        answer=Page[UsageRecord],
        errors=(400,),
    ),
    Operation(
        id="adminlistchanges",
        tag="admin",
        method="GET",
        path="/admin/v1/changes",
        access=Access.ADMIN,
        run=list_changes,
        query=ChangesQuery,
        answer=Page[ChangeRecord],
        errors=(400,),
    ),
)
