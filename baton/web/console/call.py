"""One request of a console's page: who asks, in which language, and the answers that it can get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from baton.admission.gate import Caller
from baton.admission.sessions import COOKIE
from baton.stores.base import KeyRecord
from baton.web.console import navigation
from baton.web.console.forms import Form
from baton.web.console.room import Room
from baton.web.operation import Access, Nothing, Visit, opens, read_query
from baton.web.services import Services
from baton.web.texts import LANGUAGES, Language, Texts, chosen

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    # Not `no-referrer`: browsers then send `Origin: null` with forms, which proves nothing.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "cookie, accept-language",
}
THEMES = ("auto", "light", "dark")
CHOICES = {"lang": ("baton_lang", LANGUAGES), "theme": ("baton_theme", THEMES)}
"""What `?lang=` and `?theme=` choose for good: the cookie, and its values."""
CHOICE_S = 366 * 86_400
MADE_COOKIE = "baton_made"
"""A new key's value, sealed, on its way to the page that shows it (keys.py)."""
AnyVisit = Visit[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a page's code is given."""

    services: Services
    room: Room
    request: Request
    who: Caller | None = None
    mark: str = ""
    form: Form = field(default_factory=Form)

    @property
    def user(self) -> Caller:
        assert self.who is not None, "this page is open to everybody"
        return self.who

    @property
    def record(self) -> KeyRecord:
        return self.user.record

    @property
    def language(self) -> Language:
        found = self._chosen("lang")
        return chosen(found or None, self.request.headers.get("accept-language", ""))

    @property
    def texts(self) -> Texts:
        return self.room.texts[self.language]

    @property
    def root(self) -> str:
        """From this page to the site's root: links also hold behind a proxy with a prefix."""
        return "../" * (str(self.request.scope["path"]).count("/") - 1)

    def may(self, access: Access) -> bool:
        """Whether the visitor's key opens what demands that access."""
        return self.who is not None and opens(access, self.who.record)

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def visit(self, body: Any = None, query: Any = None) -> AnyVisit:
        """The same visitor at an operation of the admin API, with that body and query."""
        services, request = self.services, self.request
        return Visit(services, request, self.who, body or Nothing(), query or Nothing())

    def query(self, wanted: type[Any]) -> Any:
        """The query of the address as that struct, without what is empty or chosen for good.
        Raises RequestError (400)."""
        given = {
            name: value
            for name, value in self.request.query_params.items()
            if value and name in wanted.__struct_fields__
        }
        return read_query(wanted, given)

    def again(self, changes: Mapping[str, object]) -> str:
        """This page's query with these changes; what is "" goes."""
        given = {
            name: value for name, value in self.request.query_params.items() if name not in CHOICES
        }
        kept = {name: value for name, value in {**given, **changes}.items() if value != ""}
        return f"?{urlencode(kept)}"

    def page(
        self, template: str, values: Mapping[str, Any] | None = None, status: int = 200
    ) -> Response:
        """The page of a template; `values` are its own."""
        common, own = self._common(), values or {}
        assert not common.keys() & own.keys() - {"problem"}, "a page's value hides one of all"
        html = self.room.templates.get_template(template).render({**common, **own})
        response = Response(html, status, HEADERS, media_type="text/html")
        response.headers["content-language"] = self.language
        for name, (cookie, values_known) in CHOICES.items():
            asked = self.request.query_params.get(name)
            if asked in values_known:
                self.keep(response, cookie, str(asked), CHOICE_S, http_only=False)
        return response

    def go(self, path: str, /, **query: str) -> Response:
        """See another page of the console (303: with GET)."""
        target = f"{self.root}console/{quote(path)}" if path else f"{self.root}console"
        more = f"?{urlencode(query)}" if query else ""
        return Response(status_code=303, headers={**HEADERS, "location": target + more})

    def answer(self, told: object, status: int = 200) -> Response:
        """JSON for a page's script."""
        body = msgspec.json.encode(told)
        return Response(body, status, HEADERS, media_type="application/json")

    def signed(self, response: Response, token: str | None) -> Response:
        """With a session's cookie; None takes it away, and what else was for its visitor alone."""
        if token is None:
            self.keep(response, MADE_COOKIE, "", 0, http_only=True)
        lasts_s = 0 if token is None else int(self.services.settings.console_session_s)
        self.keep(response, COOKIE, token or "", lasts_s, http_only=True)
        return response

    def keep(
        self, response: Response, name: str, value: str, lasts_s: int, *, http_only: bool
    ) -> None:
        """With a cookie that lasts so long; 0 takes it away."""
        address = self.services.settings.admin_address
        response.set_cookie(
            name,
            value,
            max_age=lasts_s,
            path="/",
            secure=address.startswith("https:"),
            httponly=http_only,
            samesite="strict",
        )

    def _chosen(self, name: str) -> str:
        cookie, known = CHOICES[name]
        asked = self.request.query_params.get(name, self.request.cookies.get(cookie, ""))
        return asked if asked in known else ""

    def _common(self) -> dict[str, Any]:
        """What every template may use."""
        room, texts = self.room, self.texts
        return {
            "t": texts,
            "call": self,
            "root": self.root,
            "console": f"{self.root}console",
            "language": self.language,
            "languages": LANGUAGES,
            "theme": self._chosen("theme") or "auto",
            "themes": THEMES,
            "menu": navigation.menu(self.who.record) if self.who is not None else [],
            "here": str(self.request.scope["path"]).removeprefix("/console").strip("/"),
            "again": lambda **more: self.again(more),
            "mark": self.mark,
            "version": self.services.version,
            "static": {
                name: f"{self.root}console/static/{name}?v={one.version}"
                for name, one in room.static.items()
            },
            "problem": "",
        }
