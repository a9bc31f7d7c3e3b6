"""A small browser without scripts for tests: keeps cookies, follows no redirects, sends forms."""

import dataclasses
import html.parser
import re
from urllib.parse import urlencode

from tests.asking import Answer, Endpoint
from tests.fakes.web_parts import ADMIN_KEY, MODEL, Web


@dataclasses.dataclass
class Visitor:
    """Somebody at the console of a site."""

    endpoint: Endpoint
    cookie: str = ""
    mark: str = ""

    def get(self, path: str, **headers: str | None) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: object = (), **headers: str | None) -> Answer:
        """Send a form as a page of ours would."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)  # type: ignore[call-overload]
        body = urlencode([("csrf", self.mark), *pairs] if self.mark else pairs).encode()
        sent = {
            "Origin": self.endpoint.base_url,
            "Content-Type": "application/x-www-form-urlencoded",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self._ask("POST", path, body, sent)

    def sign_in(self, key: str) -> Answer:
        answer = self.post("/console", {"key": key})
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        if answer.status == 303:
            self.mark = mark_of(self.get("/console/own"))
        return answer

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str | None]
    ) -> Answer:
        plain: dict[str, str | None] = {"Authorization": None, "Accept-Language": "en"}
        cookie = {"Cookie": self.cookie} if self.cookie else {}
        return self.endpoint.ask(method, path, body, {**plain, **cookie, **headers})


def mark_of(answer: Answer) -> str:
    found = re.search(r'name="baton-csrf" content="([0-9a-f]*)"', answer.text)
    assert found is not None, answer.text[:500]
    return found.group(1)


def visitor(site: Web, key: str | None = ADMIN_KEY) -> Visitor:
    """Somebody who signed in with that key; None: nobody yet."""
    one = Visitor(Endpoint(site.user.base_url, "", MODEL))
    if key is not None:
        assert 303 == one.sign_in(key).status
    return one


class _Fields(html.parser.HTMLParser):
    """What the form with that action would send, untouched."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.pairs: list[tuple[str, str]] = []
        self._action, self._inside = action, False
        self._text: str | None = None  # the name of the text area that is open
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("action", "").endswith(self._action)
        if not self._inside:
            return
        name, value = given.get("name", ""), given.get("value", "")
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            self.pairs.append((name, value or ("on" if given.get("type") == "checkbox" else "")))
        elif tag == "textarea":
            self._text = name
            self.pairs.append((name, ""))
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given:
            self.pairs.append((self._select, value))

    def handle_endtag(self, tag: str) -> None:
        self._text = None if tag == "textarea" else self._text
        self._inside = self._inside and tag != "form"

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self.pairs[-1] = (self._text, self.pairs[-1][1] + data)


def form_of(answer: Answer, action: str, **changed: str) -> list[tuple[str, str]]:
    """The fields of a page's form with that action, as a browser would send it after its visitor
    changed these."""
    found = _Fields(action)
    found.feed(answer.text)
    assert found.pairs, answer.text[:500]
    assert changed.keys() <= {name for name, _ in found.pairs}
    return [(name, changed.get(name, value)) for name, value in found.pairs if name != "csrf"]
