"""The visitor's own key: what limits it, and how much of that is left."""

from starlette.responses import Response

from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.models import get_own_key
from baton.web.operation import Access


async def show_own(call: Call) -> Response:
    return call.page("own.html", {"own": await get_own_key(call.visit())})


SCREENS = (Screen(method="GET", path="/console/own", access=Access.KEY, run=show_own),)
