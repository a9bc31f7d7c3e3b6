"""The way in and out: sign-in with a key, sign-out, and the files that pages use."""

import msgspec
from starlette.responses import Response

from baton.admission.gate import Caller
from baton.errors import RequestError, unknown_path
from baton.web.console import back, navigation
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.operation import Access
from baton.web.pages import CACHED_FOR_GOOD


class EntranceQuery(msgspec.Struct, frozen=True):
    """What came of a page that asked for a session."""

    to: str = ""
    """The page to go on with (back.py)."""
    unread: str = ""
    """Whether a form was sent in vain."""


async def show_entrance(call: Call) -> Response:
    """The form; whoever is in already goes on."""
    asked = call.query(EntranceQuery)
    peer = call.request.client.host if call.request.client is not None else ""
    try:
        who, _ = await call.services.gate.signed_in(call.request.headers.raw, peer)
    except RequestError:
        problem = call.texts["entrance.unread"] if asked.unread else ""
        return call.page("entrance.html", {"to": asked.to, "problem": problem})
    return _on(call, who, asked.to)


async def sign_in(call: Call) -> Response:
    """A session for the key that was typed in."""
    request = call.request
    peer = request.client.host if request.client is not None else ""
    try:
        value = call.form.text("key")
        who, token = await call.services.gate.sign_in(value, request.headers.raw, peer)
    except RequestError as error:
        shown = call.texts["entrance.refused"] if error.status == 401 else error.message
        given = {"to": call.form.text("to"), "problem": shown}
        return call.page("entrance.html", given, error.status)
    return call.signed(_on(call, who, call.form.text("to")), token)


def _on(call: Call, who: Caller, to: str) -> Response:
    found = back.place(to)
    if found is None:
        return call.go(navigation.home(who.record))
    return call.go(found.path, **found.query)


async def sign_out(call: Call) -> Response:
    """The session ends and its cookie goes; the key stays valid."""
    await call.services.gate.sign_out(call.request.headers.raw)
    return call.signed(call.go(""), None)


async def get_file(call: Call) -> Response:
    found = call.room.static.get(call.part("file"))
    if found is None:
        raise unknown_path("GET", call.request.scope["path"])
    fresh = call.request.query_params.get("v") == found.version
    headers = {"cache-control": CACHED_FOR_GOOD if fresh else "no-cache"}
    return Response(found.content, 200, headers, media_type=found.media)


SCREENS = (
    Screen(method="GET", path="/console", access=Access.OPEN, run=show_entrance),
    Screen(method="POST", path="/console", access=Access.OPEN, run=sign_in),
    Screen(method="POST", path="/console/sign-out", access=Access.KEY, run=sign_out),
    Screen(method="GET", path="/console/static/{file:path}", access=Access.OPEN, run=get_file),
)
