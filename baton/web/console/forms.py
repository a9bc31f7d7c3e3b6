"""What a page of ours sends back: read within limits, and proved to come from a page of ours.

A browser sends the session along with whatever any page asks for. So what changes something must
say where it comes from (Origin) and show the mark that only our pages were told (sessions.py).
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from baton.admission.sessions import MARK_HEADER
from baton.errors import body_too_large, forbidden, invalid
from baton.http.hosts import sent

FORM_BYTES_MAX = 512 * 1024
"""A form of lists says them three times: as they are meant, were shown, and were."""
FIELDS_MAX = 500
FORM_TYPE = "application/x-www-form-urlencoded"
MARK_FIELD = "csrf"
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Which browsers leave out."""
SHOWN = "was."
"""Begins the names of hidden fields that say what the page's other fields showed."""


class Form(Mapping[str, str]):
    """Fields by name. A name that comes several times has its last value; `several` has all."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs, self._values = pairs, dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, name: str) -> str:
        """Without the space around it; "" where it is not there."""
        return self._values.get(name, "").strip()

    def shown(self) -> "Form | None":
        """The form as its page showed it; None where it does not tell."""
        pairs = [
            (name.removeprefix(SHOWN), value)
            for name, value in self._pairs
            if name.startswith(SHOWN)
        ]
        return Form(pairs) if pairs else None

    def several(self, name: str) -> list[str]:
        return [value for each, value in self._pairs if each == name]


async def read(request: Request) -> Form:
    """The fields of a form. Raises RequestError: 413 for too much, 400 for what is no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise invalid("This address takes the forms of the console's pages.")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > FORM_BYTES_MAX:
            raise body_too_large(FORM_BYTES_MAX)
        parts.append(part)
    text = b"".join(parts).decode("utf-8", "replace")
    try:
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise invalid(f"A form has at most {FIELDS_MAX} fields.") from None


def check_origin(request: Request, address: str) -> None:
    """Raises RequestError (403) for what another site's page sent. `address` is ours."""
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site") == "same-origin":
            return
        raise forbidden("This comes from no page of the console.")
    host = request.headers.get("host", "")
    at_host = host and origin in (f"http://{host}", f"https://{host}")
    if at_host or origin == _origin(address):
        return
    raise forbidden("This comes from a page of another site.")


def _origin(address: str) -> str:
    """Of an address, as browsers send it."""
    parts = urlsplit(address)
    host, port = sent(parts.hostname or ""), parts.port
    named = f"[{host}]" if ":" in host else host
    shown = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{named}{shown}"


def check_mark(request: Request, form: Form, mark: str) -> None:
    """Raises RequestError (403) without the session's mark, in a field or in the header."""
    given = form.text(MARK_FIELD) or request.headers.get(MARK_HEADER.decode(), "")
    if not hmac.compare_digest(given.encode(), mark.encode()):
        raise forbidden("The page is out of date: load it again.")
