"""/admin/v1/upstreams: the places that answer. A provider key goes in and never comes out."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from baton.errors import RequestError, invalid
from baton.routing.routes import EMBEDDED
from baton.semantics.events import Way
from baton.semantics.overrides import Overrides
from baton.stores.base import UpstreamRecord
from baton.telemetry.metrics import Snapshot
from baton.upstreams import endpoint, registry
from baton.upstreams.judging import judge
from baton.upstreams.proxy import parse_proxy
from baton.web.admin import Deleted, ModelName, Page, PageQuery, Seen, first, stored
from baton.web.operation import Access, Nothing, Operation, Visit
from baton.web.services import Services
from baton.web.upstream_live import UpstreamLive, live

UpstreamName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64)]
Url = Annotated[str, msgspec.Meta(max_length=2048)]
Secret = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+$", max_length=8192)]
Models = Annotated[dict[ModelName, ModelName], msgspec.Meta(max_length=1000)]
InFlight = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
TimeoutS = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
ProbeS = Annotated[float, msgspec.Meta(ge=1, le=86_400)]
Priority = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Weight = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
MoreSecrets = Annotated[tuple[Secret, ...], msgspec.Meta(max_length=64)]
Headers = Annotated[dict[str, str], msgspec.Meta(max_length=32)]
FieldName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Fields = Annotated[tuple[FieldName, ...], msgspec.Meta(max_length=100)]
Continuation = Annotated[dict[ModelName, Way], msgspec.Meta(max_length=1000)]
Templates = Annotated[dict[ModelName, str], msgspec.Meta(max_length=1000)]
File = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]+\.gguf$", max_length=1024)]
Files = Annotated[dict[ModelName, File], msgspec.Meta(max_length=1000)]


class UpstreamBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new upstream. Timeouts that are left out are Baton's own settings."""

    name: UpstreamName
    url: Url
    dialect: str
    models: Models
    """Public name → the upstream's own name."""
    secret: Secret | None = None
    """The provider's key; stored encrypted, never shown."""
    more_secrets: MoreSecrets = ()
    """Further keys: requests take turns with all of them."""
    headers: Headers = {}
    """Added to every request; their values are stored encrypted, never shown."""
    proxy: Url | None = None
    """http://host:port of a proxy that leads there."""
    overrides: Overrides = Overrides()
    """What is forced, given or withheld in requests to it."""
    allow_private: bool = True
    in_flight_max: InFlight = 1024
    first_byte_timeout_s: TimeoutS | None = None
    stall_timeout_s: TimeoutS | None = None
    total_timeout_s: TimeoutS | None = None
    hedge_after_s: TimeoutS | None = None
    """Where it has not begun to answer by then, another one is asked as well: costs, rarely."""
    probe_interval_s: ProbeS | None = None
    """How often it is asked whether it is there; left out: only requests tell."""
    priority: Priority = 0
    weight: Weight = 100
    fields: Fields = ()
    """Fields outside OpenAI's contract that it takes (top_k, min_p …)."""
    continuation: Continuation = {}
    """How a chat is had to continue a text, by its own model name; "*": all of them."""
    fim: Templates = {}
    """The fill-in-the-middle template of a model, by its own name; "*": all of them."""
    vocabularies: Files = {}
    """The GGUF file whose vocabulary a model has, by its own name; "*": all of them. A name without
    a path is one in the folder `vocabularies` of the data folder."""


class UpstreamChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes; what is left out stays. `secret: null` forgets the provider's key."""

    url: Url | UnsetType = UNSET
    dialect: str | UnsetType = UNSET
    models: Models | UnsetType = UNSET
    secret: Secret | UnsetType | None = UNSET
    more_secrets: MoreSecrets | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    proxy: Url | UnsetType | None = UNSET
    overrides: Overrides | UnsetType = UNSET
    allow_private: bool | UnsetType = UNSET
    in_flight_max: InFlight | UnsetType = UNSET
    first_byte_timeout_s: TimeoutS | UnsetType | None = UNSET
    stall_timeout_s: TimeoutS | UnsetType | None = UNSET
    total_timeout_s: TimeoutS | UnsetType | None = UNSET
    hedge_after_s: TimeoutS | UnsetType | None = UNSET
    probe_interval_s: ProbeS | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    fields: Fields | UnsetType = UNSET
    continuation: Continuation | UnsetType = UNSET
    fim: Templates | UnsetType = UNSET
    vocabularies: Files | UnsetType = UNSET


class UpstreamView(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream as operators see it."""

    name: str
    url: str
    dialect: str
    models: dict[str, str]
    has_secret: bool
    more_secrets_count: int
    header_names: tuple[str, ...]
    proxy: str | None
    overrides: Overrides
    allow_private: bool
    in_flight_max: int
    first_byte_timeout_s: float | None
    stall_timeout_s: float | None
    total_timeout_s: float | None
    hedge_after_s: float | None
    probe_interval_s: float | None
    priority: int
    weight: int
    fields: tuple[str, ...]
    continuation: dict[str, Way]
    fim: dict[str, str]
    vocabularies: dict[str, str]
    created_us: int
    live: UpstreamLive


MADE = ("has_secret", "more_secrets_count", "header_names", "live")
VIEWED = [name for name in UpstreamView.__struct_fields__ if name not in MADE]


def shown(record: UpstreamRecord, numbers: Snapshot) -> UpstreamView:
    """Field by field: what is added to the record later is not shown before somebody decides so."""
    values = {name: getattr(record, name) for name in VIEWED}
    return UpstreamView(
        has_secret=record.secret is not None,
        more_secrets_count=len(record.more_secrets),
        header_names=tuple(sorted(record.headers)),
        live=live(record.name, numbers),
        **values,
    )


def check(services: Services, url: object, dialect: object) -> None:
    """What the types cannot say: the URL is one that Baton would call, the dialect is known."""
    if isinstance(url, str):
        try:
            endpoint.parse(url)
        except ValueError as error:
            raise invalid(f"The URL cannot be used: {error}.", param="url") from None
    if isinstance(dialect, str) and dialect not in (dialects := services.dialects()):
        known = ", ".join(sorted(dialects))
        raise invalid(f"There is no such dialect. Known: {known}.", param="dialect")


async def judge_places(record: UpstreamRecord) -> None:
    """ValueError where the upstream, or the proxy to it, must not be called from here."""
    await judge(endpoint.parse(record.url, allow_private=record.allow_private))
    if record.proxy is not None:
        await judge(parse_proxy(record.proxy))


async def check_places(record: UpstreamRecord) -> None:
    """The same as a 400."""
    try:
        await judge_places(record)
    except ValueError as error:
        raise invalid(f"The URL cannot be used: {error}.", param="url") from None


def check_options(record: UpstreamRecord) -> None:
    """What the types cannot say of headers, proxy and overrides."""
    try:
        registry.check_options(record)
    except ValueError as error:
        raise invalid(f"{error}.") from None


def check_ways(dialect: str, ways: dict[str, Way]) -> None:
    """A dialect that takes prompts as they are has no way of continuing to choose."""
    try:
        registry.check_continuation(dialect, ways)
    except ValueError as error:
        raise invalid(f"{error}.", param="continuation") from None


async def list_upstreams(visit: Visit[Nothing, PageQuery]) -> Page[UpstreamView]:
    asked, numbers = visit.query, visit.services.numbers()
    records = await stored(visit.services.upstreams.all, secrets=True)
    # By name, so that a page also follows one that was deleted meanwhile.
    following = sorted((one for one in records if one.name > asked.after), key=lambda one: one.name)
    return first([shown(each, numbers) for each in following], asked.limit)


async def get_upstream(visit: Visit[Nothing, Nothing]) -> UpstreamView:
    record = await stored(visit.services.upstreams.get, visit.part("name"), secrets=True)
    return shown(record, visit.services.numbers())


JUDGED = {
    "allow_private",
    "continuation",
    "dialect",
    "fim",
    "headers",
    "overrides",
    "proxy",
    "url",
}
"""Changes of these are looked at together with what stays."""


async def create_upstream(visit: Visit[UpstreamBody, Nothing]) -> UpstreamView:
    services, body = visit.services, visit.body
    check(services, body.url, body.dialect)
    check_ways(body.dialect, body.continuation)
    if body.name == EMBEDDED:
        message = f"Conflict: '{EMBEDDED}' is the model inside Baton."
        raise RequestError(409, message, param="name", code="already_exists")
    record = UpstreamRecord(**msgspec.structs.asdict(body), created_us=services.clock_us())
    check_options(record)
    await check_places(record)
    await stored(services.upstreams.add, record, visit.actor)
    await services.refresh()
    return shown(record, services.numbers())


async def change_upstream(
    visit: Visit[UpstreamChangeBody, Nothing], seen: Seen | None = None
) -> UpstreamView:
    given, upstreams = msgspec.structs.asdict(visit.body), visit.services.upstreams
    changes = {name: value for name, value in given.items() if value is not UNSET}
    check(visit.services, changes.get("url"), changes.get("dialect"))
    if not changes:
        return await get_upstream(
            Visit(visit.services, visit.request, visit.who, Nothing(), Nothing())
        )
    if changes.keys() & JUDGED:
        present = await stored(upstreams.get, visit.part("name"))
        future = msgspec.structs.replace(present, **changes)
        check_ways(future.dialect, future.continuation)
        check_options(future)
        await check_places(future)
    changed = await stored(upstreams.update, visit.part("name"), visit.actor, seen, **changes)
    await visit.services.refresh()
    return shown(changed, visit.services.numbers())


async def delete_upstream(visit: Visit[Nothing, Nothing]) -> Deleted:
    name = visit.part("name")
    await stored(visit.services.upstreams.remove, name, visit.actor)
    await visit.services.refresh()
    return Deleted(id=name)


OPERATIONS = (
    Operation(
        id="adminlistupstreams",
        tag="admin",
        method="GET",
        path="/admin/v1/upstreams",
        access=Access.ADMIN,
        run=list_upstreams,
        query=PageQuery,
        answer=Page[UpstreamView],
        errors=(400,),
    ),
    Operation(
        id="admincreateupstream",
        tag="admin",
        method="POST",
        path="/admin/v1/upstreams",
        access=Access.ADMIN,
        run=create_upstream,
        body=UpstreamBody,
        answer=UpstreamView,
        status=201,
        errors=(400, 409),
    ),
    Operation(
        id="admingetupstream",
        tag="admin",
        method="GET",
        path="/admin/v1/upstreams/{name}",
        access=Access.ADMIN,
        run=get_upstream,
        answer=UpstreamView,
        errors=(404,),
    ),
    Operation(
        id="adminchangeupstream",
        tag="admin",
        method="PATCH",
        path="/admin/v1/upstreams/{name}",
        access=Access.ADMIN,
        run=change_upstream,
        body=UpstreamChangeBody,
        answer=UpstreamView,
        errors=(400, 404),
    ),
    Operation(
        id="admindeleteupstream",
        tag="admin",
        method="DELETE",
        path="/admin/v1/upstreams/{name}",
        access=Access.ADMIN,
        run=delete_upstream,
        answer=Deleted,
        errors=(404,),
    ),
)
