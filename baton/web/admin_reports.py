"""/admin/v1/models, prices, usage, changes: what is offered, what it costs, what was used, who
changed what.
"""

import base64
import datetime
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from starlette.responses import Response

from baton.errors import invalid
from baton.ledger.audit import Audit
from baton.ledger.currency import Currency
from baton.ledger.report import UsageLine, as_csv, line
from baton.stores.base import (
    Allowance,
    ChangeRecord,
    Pico,
    PriceDetails,
    PriceRecord,
)
from baton.web.admin import ModelName, Nano, Page, PageLimit, PageQuery, Seq, TimeUs, page, stored
from baton.web.models import found_models
from baton.web.operation import Access, Nothing, Operation, Visit
from baton.web.services import UsageGroup, UsageQuery

USAGE_DAYS = 30
USAGE_ROWS, CSV_ROWS = 1_000, 100_000
"""Of one answer, where nobody asks for fewer."""
CURSOR_CHARACTERS_MAX = 8_192


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
    details: PriceDetails | None = None
    """Kinds of tokens that have prices of their own."""
    markup_bp: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] | None = None
    """In place of amounts: basis points (10,000 is the cost itself) of what `markup_of` costs."""
    markup_of: str | None = None
    free: Allowance | None = None
    """What each key may use without a charge; null: nothing. Of what callers pay alone."""


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
    upstream: str | None = None
    party: str | None = None
    """The id of an organisation, team or user: its keys and those of all under it."""
    end_user: str | None = None
    """What callers wrote in the request's `user`."""
    format: Literal["json", "csv"] = "json"
    after: Annotated[str, msgspec.Meta(max_length=CURSOR_CHARACTERS_MAX)] = ""
    """`next` of the page before, with the same question."""
    limit: PageLimit | None = None
    """Rows at most; 1,000 by default, of CSV 100,000."""


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Sums in the order of their groups."""

    object: str = "list"
    data: list[UsageLine]
    has_more: bool
    next: str | None
    """Give it as `after` for the rows that follow; null: there are none."""


class ChangesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Seq = 0
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
    given["effective_us"] = body.effective_us or 0
    stored_price = await stored(services.prices.set, PriceRecord(version=0, **given), visit.actor)
    await services.refresh()
    return stored_price


async def report_usage(visit: Visit[Nothing, UsageAsked]) -> UsagePage | Response:
    asked = visit.query
    groups = ["key_id" if group == "key" else group for group in dict.fromkeys(asked.group_by)]
    lines = await usage_lines(visit)
    start = 0
    if asked.after:
        after = place_after(asked.after, groups)
        start = bisect_right(lines, after, key=lambda each: place(each, groups))
    stop = start + (asked.limit or (CSV_ROWS if asked.format == "csv" else USAGE_ROWS))
    shown = lines[start:stop]
    following = cursor(shown[-1], groups) if stop < len(lines) else None
    if asked.format == "json":
        return UsagePage(data=shown, has_more=following is not None, next=following)
    headers = {
        "cache-control": "no-store",
        "content-disposition": 'attachment; filename="usage.csv"',
    }
    if following is not None:
        link = visit.request.url.include_query_params(after=following)
        headers["link"] = f'<?{link.query}>; rel="next"'
    return Response(as_csv(shown, groups), headers=headers, media_type="text/csv")


def place(line: UsageLine, groups: Sequence[str]) -> list[str]:
    """Where a row stands in the order of all."""
    return [getattr(line, group) for group in groups]


def cursor(last: UsageLine, groups: Sequence[str]) -> str:
    """What follows that row, as text for an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place(last, groups))).decode()


def place_after(text: str, groups: Sequence[str]) -> list[str]:
    """The place that a cursor names. RequestError (400) for what was never given as one."""
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text), type=list[str])
    except (ValueError, msgspec.DecodeError):
        found = []
    if len(found) != len(groups):
        raise invalid("'after' must be the `next` of an answer to this question.", param="after")
    return found


async def usage_lines(visit: Visit[Nothing, UsageAsked]) -> list[UsageLine]:
    """Every row of a report, in the order of its groups."""
    asked = visit.query
    for name, day in (("since", asked.since), ("until", asked.until)):
        if day is not None and day.year not in YEARS:
            raise invalid(f"'{name}' must lie in the years from 1971 to 9998.", param=name)
    until = asked.until or day_of(visit.services.clock_us())
    since = asked.since or until - datetime.timedelta(days=USAGE_DAYS)
    if since > until:
        raise invalid("'since' must not be after 'until'.", param="since")
    by_user = "end_user" in asked.group_by or asked.end_user is not None
    by_place = {"model", "upstream"} & set(asked.group_by) or asked.model or asked.upstream
    if by_user and by_place:
        message = "Sums by 'end_user' are kept by day, key and party alone."
        raise invalid(message, param="group_by")
    query = UsageQuery(
        group_by=tuple(dict.fromkeys(asked.group_by)),
        from_us=start_us(since),
        until_us=start_us(until + datetime.timedelta(days=1)),
        key_id=asked.key,
        model=asked.model,
        upstream=asked.upstream,
        party=asked.party,
        end_user=asked.end_user,
    )
    settings = visit.services.settings
    currency = Currency(settings.currency, settings.currency_micro_per_usd)
    return [line(each, currency) for each in await stored(visit.services.usage, query)]


async def audit_ledger(visit: Visit[Nothing, Nothing]) -> Audit:
    return await stored(visit.services.audit)


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
        errors=(400, 404),
    ),
    Operation(
        id="adminusage",
        tag="admin",
        method="GET",
        path="/admin/v1/usage",
        access=Access.REPORTS,
        run=report_usage,
        query=UsageAsked,
        answer=UsagePage,
        errors=(400,),
    ),
    Operation(
        id="adminauditledger",
        tag="admin",
        method="GET",
        path="/admin/v1/audit-ledger",
        access=Access.REPORTS,
        run=audit_ledger,
        answer=Audit,
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
