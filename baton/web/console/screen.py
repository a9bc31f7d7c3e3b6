"""The table of the console's routes, and what is the same for all: who asks, whether its key's role
opens the page, and for what changes something that a page of ours sent it.

`access` has no default: a page whose author did not decide does not load. Pages are not part of the
interface that /openapi/relay.json describes; what they change they change by its operations.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from baton.errors import RequestError, wrong_method
from baton.web.console import back, forms
from baton.web.console.call import Call
from baton.web.console.room import Room
from baton.web.envelope import trace
from baton.web.operation import Access, check_role
from baton.web.services import Services

Run = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A page (GET) or what one does (POST). `path` is Starlette's pattern."""

    method: Literal["GET", "POST"]
    path: str
    access: Access
    run: Run


def routes(screens: Iterable[Screen], services: Services) -> list[Route]:
    """One route per path."""
    room = Room(services)
    doors: dict[str, dict[str, Screen]] = {}
    for one in screens:
        doors.setdefault(one.path, {})[one.method] = one
    return [Route(path, Door(methods, services, room)) for path, methods in doors.items()]


class Door:
    """All screens of one path."""

    def __init__(self, methods: dict[str, Screen], services: Services, room: Room) -> None:
        self.methods, self.services, self.room = methods, services, room
        also = {"HEAD"} if "GET" in methods else set()
        self.allowed = ", ".join(sorted(methods.keys() | also))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        one = self.methods.get("GET" if request.method == "HEAD" else request.method)
        if one is None:
            raise wrong_method(request.method, scope["path"], self.allowed)
        call = Call(services=self.services, room=self.room, request=request)
        response = await show(one, call)
        await response(scope, receive, send)


async def show(screen: Screen, call: Call) -> Response:
    """Authorise, read, run: the same steps for every screen."""
    try:
        call = await enter(screen, call)
    except RequestError as error:
        trace(call.request).error = error.code
        if error.status == 401:
            return _to_sign_in(call)
        return problem(call, error)
    try:
        return await screen.run(call)
    except RequestError as error:
        trace(call.request).error = error.code
        return problem(call, error)


def _to_sign_in(call: Call) -> Response:
    """With the page to go on with, and the word that a form was not read."""
    found = {"to": back.asked_for(call.request)}
    if call.request.method == "POST":
        found["unread"] = "1"
    return call.signed(call.go("", **{name: value for name, value in found.items() if value}), None)


async def enter(screen: Screen, call: Call) -> Call:
    """The call with its visitor and form. Raises RequestError: 401 without a session, 403 for a
    role that may not, or for what no page of ours sent."""
    request, who, mark = call.request, None, ""
    if screen.access is not Access.OPEN:
        peer = request.client.host if request.client is not None else ""
        who, mark = await call.services.gate.signed_in(request.headers.raw, peer)
        trace(request).key = who.record.id
        check_role(screen.access, who)
    form = forms.Form()
    if screen.method == "POST":
        forms.check_origin(request, call.services.settings.admin_address)
        form = await forms.read(request)
        if who is not None:
            forms.check_mark(request, form, mark)
    return Call(
        services=call.services, room=call.room, request=request, who=who, mark=mark, form=form
    )


def problem(call: Call, error: RequestError) -> Response:
    """What went wrong, as a page; JSON for a script."""
    if "application/json" in call.request.headers.get("accept", ""):
        return call.answer({"error": error.message}, error.status)
    return call.page("problem.html", {"error": error}, error.status)
