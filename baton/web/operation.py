"""One operation of the interface: method, path, who may call it, what goes in and out.

Routes, authorisation, `/openapi/relay.json` and the pages under /docs are all made from these;
there is no other way to add a route. `access` has no default: a route whose author did not decide
does not load.
"""

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from baton.admission.gate import Caller
from baton.errors import RequestError, body_too_large, forbidden, invalid
from baton.stores.base import KeyRecord, Role
from baton.web.envelope import trace
from baton.web.services import Services

Body = TypeVar("Body")
Query = TypeVar("Query")
Method = Literal["GET", "POST", "PATCH", "DELETE"]
METRICS_PATH = "/metrics"


class Access(enum.Enum):
    """Who may call an operation."""

    OPEN = "open"
    KEY = "key"
    REPORTS = "reports"
    """Admins and billing readers."""
    TEAM = "team"
    """Admins, and team admins for what is within their party (`Visit.within`)."""
    ADMIN = "admin"


ROLES: dict[Access, tuple[Role, ...]] = {
    Access.KEY: get_args(Role),
    Access.REPORTS: ("admin", "billing"),
    Access.TEAM: ("admin", "team_admin"),
    Access.ADMIN: ("admin",),
}
"""Whose keys may call; an access that is not here nobody has."""


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No body, or no query parameters."""


class AnyQuery(msgspec.Struct, frozen=True):
    """Query parameters of pages and probes, which ignore what they do not know."""


@dataclass(frozen=True, slots=True)
class Visit(Generic[Body, Query]):
    """One call of an operation, decoded and authorised."""

    services: Services
    request: Request
    who: Caller | None
    body: Body
    query: Query

    @property
    def caller(self) -> KeyRecord:
        """The caller's key; only operations that demand one may ask for it."""
        return self.user.record

    @property
    def user(self) -> Caller:
        """The caller with all its limits; only operations that demand a key may ask for it."""
        assert self.who is not None, "this operation is open to everybody"
        return self.who

    @property
    def within(self) -> str | None:
        """The party beyond which nothing exists for the caller; None for an admin, who sees all."""
        if self.caller.role == "admin":
            return None
        assert self.caller.owner is not None, "a team admin's key belongs to a party"
        return self.caller.owner

    @property
    def actor(self) -> str:
        """Who made a change, for the audit log."""
        return f"key:{self.caller.id}"

    def part(self, name: str) -> str:
        """A part of the path that the caller chose."""
        return str(self.request.path_params[name])

    @property
    def fixed_model(self) -> str | None:
        """The model that `/m/{model}/…` fixes."""
        model = self.request.path_params.get("fixed_model")
        return None if model is None else str(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Body, Query]):
    """A route and its documentation. `path` is Starlette's pattern."""

    id: str
    """operationId, and the key of its texts in both languages."""
    tag: str
    method: Method
    path: str
    access: Access
    run: Callable[[Visit[Body, Query]], Awaitable[Any]] | None
    """None: another room answers it (completions are taken before ASGI)."""
    body: type[Body] = Nothing  # type: ignore[assignment]  # the default of a type variable is Python 3.13's
    query: type[Query] = Nothing  # type: ignore[assignment]
    answer: Any = None
    """The Struct that goes out as JSON, or None where `media` says what does."""
    media: str = "application/json"
    status: int = 200
    errors: tuple[int, ...] = ()
    """Statuses besides those that every operation of its access can answer."""
    prefixed: bool = False
    """Also under /m/{model}/…"""
    listed: bool = True
    """Whether readers are led to it; the pages themselves are in the documents, but not in the
    menu.
    """

    @property
    def public_path(self) -> str:
        """The path as OpenAPI writes it."""
        return re.sub(r"\{(\w+):\w+\}", r"{\1}", self.path)

    @property
    def for_operators(self) -> bool:
        """Whether it is at their listener only, where they have one (docs/decisions/0046)."""
        return self.access not in (Access.OPEN, Access.KEY) or self.path == METRICS_PATH

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(re.findall(r"\{(\w+)", self.path))

    @property
    def has_body(self) -> bool:
        return self.body is not Nothing


AnyOperation = Operation[Any, Any]
NEEDED = {
    Access.KEY: "a key",
    Access.REPORTS: "an admin key or a billing reader's",
    Access.TEAM: "an admin key or a team admin's",
    Access.ADMIN: "an admin key",
}


async def answer(operation: AnyOperation, services: Services, request: Request) -> Response:
    """Authorise, decode, run, encode: the same steps for every operation."""
    caller = await authorise(operation.access, services, request)
    body = await read_body(operation, services.settings.body_bytes_max, request)
    query = read_query(operation.query, once_each(request.query_params))
    assert operation.run is not None
    result = await operation.run(Visit(services, request, caller, body, query))
    if isinstance(result, Response):
        return result
    headers = {} if operation.access is Access.OPEN else {"cache-control": "no-store"}
    content = msgspec.json.encode(result)
    return Response(content, operation.status, headers, media_type=operation.media)


async def authorise(access: Access, services: Services, request: Request) -> Caller | None:
    """The caller where one is demanded. Everything but an explicit OPEN demands one."""
    if access is Access.OPEN:
        return None
    peer = request.client.host if request.client is not None else ""
    caller = await services.gate.identify(request.headers.raw, peer)
    trace(request).key = caller.record.id
    check_role(access, caller)
    return caller


def check_role(access: Access, caller: Caller) -> None:
    """Raises RequestError (403) where the key's role does not open what demands that access."""
    if not opens(access, caller.record):
        raise forbidden(f"This needs {NEEDED[access]}.")


def opens(access: Access, record: KeyRecord) -> bool:
    """Whether a key's role opens what demands that access; who runs a team has one to run."""
    has_all = record.role != "team_admin" or record.owner is not None
    return has_all and record.role in ROLES.get(access, ())


async def read_body(operation: AnyOperation, bytes_max: int, request: Request) -> Any:
    if not operation.has_body:
        return Nothing()
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise body_too_large(bytes_max)
        parts.append(part)
    try:
        return msgspec.json.decode(b"".join(parts), type=operation.body)
    except msgspec.ValidationError as error:
        raise at_fault(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"We could not parse the JSON body of your request: {error}.") from None


def once_each(given: QueryParams) -> Mapping[str, str]:
    """RequestError (400) for a name that comes twice: all but the last would be ignored."""
    if len(given) != len(given.multi_items()):
        names = [name for name, _ in given.multi_items()]
        name = next(each for each in names if names.count(each) > 1)
        raise invalid(f"'{name}' is given more than once: a list is a,b.", param=name)
    return given


def read_query(wanted: type[Query], given: Mapping[str, str]) -> Query:
    """Query parameters by name; a field that is a list takes its values separated by commas."""
    values: dict[str, object] = dict(given)
    for field in msgspec.structs.fields(wanted):  # type: ignore[arg-type]  # always a Struct
        if get_origin(field.type) is tuple and field.encode_name in values:
            values[field.encode_name] = given[field.encode_name].split(",")
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise at_fault(error) from None


FIELD_AT_FAULT = re.compile(r"(?:`\$\.|field `)(\w+)")


def at_fault(error: msgspec.ValidationError) -> RequestError:
    """400 that names the field, as msgspec's message does."""
    message = str(error)
    found = FIELD_AT_FAULT.search(message)
    return invalid(f"{message}.", param=found.group(1) if found else None)
