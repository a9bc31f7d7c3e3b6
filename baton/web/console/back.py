"""The way back: which page somebody goes on with who has to sign in first.

A session ends while its visitor reads or types. What is typed is not kept (a provider's key may be
among it), but the page is: it goes along to the sign-in as its place within the console, and leads
nowhere else.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from starlette.requests import Request

INSIDE = "/console/"
PLACE_CHARACTERS_MAX = 1_000
FIELDS_MAX = 20


class Place(NamedTuple):
    """A page: its path within the console, and its query."""

    path: str
    query: Mapping[str, str]


def asked_for(request: Request) -> str:
    """What `place` reads: the page that is asked for, of a form the one that it was on; "" where
    none is known."""
    if request.method in ("GET", "HEAD"):
        path, query = str(request.scope["path"]), request.url.query
    else:
        try:
            came_from = urlsplit(request.headers.get("referer", ""))
        except ValueError:
            return ""
        path, query = unquote(came_from.path), came_from.query
    written = quote(path.partition(INSIDE)[2]) + (f"?{query}" if query else "")
    return written if place(written) is not None else ""


def place(written: str) -> Place | None:
    """The page that is meant; None for what is none of the console's."""
    quoted, _, query = written.partition("?")
    path = unquote(quoted)
    if not path or len(written) > PLACE_CHARACTERS_MAX:
        return None
    if any(part in ("", ".", "..") for part in path.split("/")):
        return None
    try:
        return Place(path, dict(parse_qsl(query, max_num_fields=FIELDS_MAX)))
    except ValueError:
        return None
