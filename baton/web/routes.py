"""Every route but POST /v1/completions: the table of operations, and the application that serves
it, with the console's pages (console/table.py).

Unknown paths, wrong methods, refusals and our own faults all answer in OpenAI's error shape.
"""

import re
from collections.abc import Iterable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from baton.decoding import WireFields
from baton.doors.fim import FimAnswer, FimRequest
from baton.doors.infill import InfillAnswer, InfillRequest
from baton.errors import RequestError, internal, store_unavailable, unknown_path, wrong_method
from baton.protocol import Completion
from baton.stores.base import StoreUnavailable
from baton.telemetry.refused import Asked
from baton.web import (
    admin_audit,
    admin_checks,
    admin_contents,
    admin_history,
    admin_keys,
    admin_parties,
    admin_refusals,
    admin_reports,
    admin_requests,
    admin_upstreams,
    documents,
    guide_pages,
    health,
    matrix_page,
    models,
    pages,
    tokens,
)
from baton.web.console.screen import routes as screens
from baton.web.console.table import SCREENS
from baton.web.envelope import trace
from baton.web.operation import Access, AnyOperation, Operation, answer
from baton.web.services import Services
from baton.web.site import Site

COMPLETIONS: AnyOperation = Operation(
    id="createcompletion",
    tag="completions",
    method="POST",
    path="/v1/completions",
    access=Access.KEY,
    run=None,
    body=WireFields,
    answer=Completion,
    errors=(400, 404, 408, 409, 415, 422, 429, 500, 502, 503, 504),
    prefixed=True,
)
"""Taken before ASGI by `baton.http`; here for its documentation, and for 405 on other methods."""

DOORS: tuple[AnyOperation, ...] = (
    Operation(
        id="createfim",
        tag="completions",
        method="POST",
        path="/v1/fim/completions",
        access=Access.KEY,
        run=None,
        body=FimRequest,
        answer=FimAnswer,
        errors=COMPLETIONS.errors,
        prefixed=True,
    ),
    Operation(
        id="infill",
        tag="completions",
        method="POST",
        path="/infill",
        access=Access.KEY,
        run=None,
        body=InfillRequest,
        answer=InfillAnswer,
        errors=COMPLETIONS.errors,
        prefixed=True,
    ),
)
"""The same completion in other servers' shapes, for editors; taken before ASGI as well."""

OPERATIONS: tuple[AnyOperation, ...] = (
    COMPLETIONS,
    *DOORS,
    *models.OPERATIONS,
    *tokens.OPERATIONS,
    *health.OPERATIONS,
    *admin_parties.OPERATIONS,
    *admin_keys.OPERATIONS,
    *admin_upstreams.OPERATIONS,
    *admin_checks.OPERATIONS,
    *admin_history.OPERATIONS,
    *admin_reports.OPERATIONS,
    *admin_requests.OPERATIONS,
    *admin_refusals.OPERATIONS,
    *admin_contents.OPERATIONS,
    *admin_audit.OPERATIONS,
    *documents.OPERATIONS,
    *matrix_page.OPERATIONS,
    *guide_pages.OPERATIONS,
    *pages.OPERATIONS,
)
"""The whole interface, in the order in which the documents show it."""

ELSEWHERE = (
    "/v1/chat", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/images", "/v1/audio",
    "/v1/moderations", "/v1/assistants", "/v1/threads", "/v1/batches", "/v1/files", "/v1/realtime",
    "/v1/rerank", "/v1/engines", "/v1/edits", "/v1/deployments", "/v1/beta", "/beta", "/openai",
    "/api", "/generate", "/completion", "/chat", "/models", "/v1/completion", "/v1/completions/",
    "/v1/v1", "//v1", "/m/",
)  # fmt: skip
"""Where clients of other interfaces knock, and those whose base address lacks /v1, has it twice or
fixes the model: they are told what Baton is for."""
ADMIN, NOT_LET_IN = "/admin/", (401, 403)
"""What an operator got wrong there is for nobody else's eyes: such messages quote what was typed,
of an address its password perhaps. Who was not let in is noted all the same."""
SLASHES, TIDY = re.compile("/+"), "A slash too many is another path."
PAGES = ("/docs", "/console")
"""What people open: a slash at the end is taken away. API paths have none, and no redirect."""


CALLERS = tuple(one for one in OPERATIONS if not one.for_operators)
"""What a listener has that is for callers alone; no page of the console."""


def build(services: Services, *, for_callers: bool = False) -> ASGIApp:
    """All of them, or those for callers alone; probes, and what every answer wears, are before it
    (front.py)."""
    operations = CALLERS if for_callers else OPERATIONS
    app = Starlette(
        routes=[*routes(operations), *([] if for_callers else screens(SCREENS, services))],
        exception_handlers={
            RequestError: refuse,
            HTTPException: unmatched,
            StoreUnavailable: stall,
            Exception: fail,
        },
    )
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.site = Site(services, operations)
    return app


class Door:
    """All operations of one path, so that a wrong method can be told which are right."""

    def __init__(self, methods: dict[str, AnyOperation]) -> None:
        self.methods = methods
        also = {"HEAD"} if "GET" in methods else set()
        self.allowed = ", ".join(sorted(methods.keys() | also))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if _names_nothing(request.path_params):
            raise HTTPException(404)
        one = self.methods.get("GET" if request.method == "HEAD" else request.method)
        if one is None or one.run is None:
            raise wrong_method(request.method, scope["path"], self.allowed)
        response = await answer(one, request.app.state.services, request)
        await response(scope, receive, send)


def _names_nothing(parts: Mapping[str, str]) -> bool:
    """`/v1/models/` and `/m//v1/models` match the paths of one model and of a fixed one."""
    fixed = parts.get("fixed_model", "-")
    return "" in parts.values() or fixed.startswith("/") or fixed.endswith("/")


def routes(operations: Iterable[AnyOperation]) -> list[Route]:
    """One route per path; prefixed operations have two."""
    doors: dict[str, dict[str, AnyOperation]] = {}
    for one in operations:
        for path in (one.path, *([f"/m/{{fixed_model:path}}{one.path}"] if one.prefixed else [])):
            doors.setdefault(path, {})[one.method] = one
    return [Route(path, Door(methods)) for path, methods in doors.items()]


async def refuse(request: Request, error: Exception) -> Response:
    """An answer that is not 200, in OpenAI's shape."""
    assert isinstance(error, RequestError)
    told = trace(request)
    told.error = error.code
    path, services = request.scope["path"], request.app.state.services
    if error.status in NOT_LET_IN or not path.startswith(ADMIN):
        asked = Asked(told.request_id, f"{request.method} {path}", "")
        services.note_refusal(told.key, error, lambda: asked)
    headers = dict(error.headers)
    return Response(error.body(), error.status, headers, media_type="application/json")


async def unmatched(request: Request, error: Exception) -> Response:
    """No route has this path."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.scope["path"]
    if method in ("GET", "HEAD") and path.startswith(PAGES) and _leads_on(request):
        name = path.rsplit("/", 2)[1]
        return RedirectResponse(f"../{name}", 308)  # relative: right behind a path prefix, too
    problem = unknown_path(method, path)
    address = request.app.state.services.settings.address
    if (tidy := SLASHES.sub("/", path).rstrip("/")) != path and _leads(request, tidy):
        message = f"{problem.message} Is {method} {address}{tidy} meant? {TIDY}"
        problem = RequestError(404, message, code=problem.code)
    elif path.startswith(ELSEWHERE):
        message = (
            f"{problem.message} Baton relays text completions: POST {address}/v1/completions "
            f"(documentation: {address}/docs)."
        )
        problem = RequestError(404, message, code=problem.code)
    return await refuse(request, problem)


def _leads_on(request: Request) -> bool:
    """Whether there is something at its path without the slash at the end."""
    path = request.scope["path"]
    return path.endswith("/") and _leads(request, path.removesuffix("/"))


def _leads(request: Request, path: str) -> bool:
    there = {**request.scope, "path": path}
    return any(route.matches(there)[0] is Match.FULL for route in request.app.routes)


async def stall(request: Request, _error: Exception) -> Response:
    """The store cannot be used: come back; what the database says stays in our logs."""
    return await refuse(request, store_unavailable())


async def fail(request: Request, error: Exception) -> Response:
    """Our own fault. Starlette raises it again once this is sent, and the server logs it."""
    return await refuse(request, internal(trace(request).request_id))
