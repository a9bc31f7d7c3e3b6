"""The pages: complete, in both languages, inert, and with links that lead somewhere."""

import html
import html.parser
import json
import re
from urllib.parse import urljoin

import pytest

from baton.web.operation import AnyOperation
from baton.web.routes import OPERATIONS
from baton.web.site import HERE
from baton.web.texts import load
from tests.fakes.web_parts import Parts, Web, web

FIRST = "/docs/completions/createcompletion"
ELSEWHERE = ("contract.", "type.")
"""Texts of the contract's file (in Chinese only), and patterns."""
SHOWN = ("/capabilities", "/guide/errors", "/guide/proxies")
"""Pages beside those of the operations."""
VOID = {"link", "meta", "img", "input", "br", "wbr"}


class Page(html.parser.HTMLParser):
    """A page taken apart; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, tag: str, attribute: str) -> list[str]:
        return [given[attribute] for name, given in self.tags if name == tag and attribute in given]


def page_of(site: Web, path: str, **headers: str | None) -> Page:
    answer = site.user.ask("GET", path, headers={"Authorization": None, **headers})
    assert (200, "text/html; charset=utf-8") == (answer.status, answer.content_type)
    return Page(answer.text)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.id)
def test_every_operation_has_its_page(site: Web, one: AnyOperation, language: str) -> None:
    """Title, description, method, path, address, codes; every text is there in both languages."""
    page = page_of(site, f"/docs/{one.tag}/{one.id}?lang={language}")
    texts = load()["zh" if language == "zh" else "en"]
    told = [texts[f"{one.id}.title"], texts[f"{one.id}.description"], one.method]
    told += [one.public_path, f"https://relay.test/base{one.public_path}", str(one.status)]
    assert [] == [each for each in told if " ".join(each.split()) not in page.text]
    assert {"zh": "zh-CN", "en": "en"}[language] == page.values("html", "lang")[0]


def test_the_first_page_has_the_whole_contract(site: Web) -> None:
    """Every field with its type, and the JSON itself, equal to the served file."""
    page = page_of(site, FIRST)
    source = site.user.get(FIRST).text
    shown = re.search(r'<code id="definition">(.*?)</code>', source, re.DOTALL)
    assert shown is not None
    link = next(each for each in page.values("a", "href") if "generated" in each)
    assert link.startswith("../../openapi/")
    assert site.user.get(urljoin(FIRST, link)).json == json.loads(html.unescape(shown.group(1)))
    for field in ("model", "prompt", "max_tokens", "finish_reason", "cached_tokens", "best_of"):
        assert f"<code>{field}</code>" in source
    assert "../../openapi/relay.json" in page.values("a", "href")


def test_chinese_unless_asked_otherwise(site: Web) -> None:
    """As the contract: Chinese by default, English by question or by the browser's wish."""
    assert ["zh-CN"] == page_of(site, FIRST).values("html", "lang")
    english = page_of(site, FIRST, **{"Accept-Language": "en-GB,en;q=0.8"})
    assert ["en"] == english.values("html", "lang")
    asked = page_of(site, f"{FIRST}?lang=zh", **{"Accept-Language": "en"})
    assert ["zh-CN"] == asked.values("html", "lang")
    assert "accept-language" in site.user.get(FIRST).headers["vary"]


@pytest.mark.parametrize(
    "path", ["/docs", "/docs?lang=en", FIRST, "/docs/admin/adminusage?lang=en"]
)
def test_every_link_leads_somewhere_here(site: Web, path: str) -> None:
    """Pages, files, scripts, styles: relative, fetched, 200; none to another host."""
    page = page_of(site, path)
    links = page.values("a", "href") + page.values("link", "href") + page.values("img", "src")
    links += page.values("script", "src")
    assert [] == [link for link in links if "//" in link or link.startswith("/")]
    targets = {urljoin(path, link).partition("#")[0] for link in links}
    assert [] == [target for target in targets if site.user.get(target).status != 200]
    anchors = {link[1:] for link in links if link.startswith("#")}
    assert anchors <= {given["id"] for _, given in page.tags if "id" in given}


@pytest.mark.parametrize("path", ["/docs", FIRST])
def test_nothing_is_inline(site: Web, path: str) -> None:
    """No script or style in the page, no attribute that runs: the policy would stop them anyway."""
    page = page_of(site, path)
    assert all(given.get("src") for tag, given in page.tags if tag == "script")
    assert [] == [tag for tag, _ in page.tags if tag in ("style", "iframe", "object")]
    running = [name for _, given in page.tags for name in given if name.startswith("on")]
    assert [] == running + page.values("p", "style")


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.id)
def test_every_field_of_the_form_has_a_label(site: Web, one: AnyOperation) -> None:
    """Also for those who hear the page; ids are unique."""
    page = page_of(site, f"/docs/{one.tag}/{one.id}")
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    fields = page.values("input", "id") + page.values("textarea", "id")
    assert set(fields) == set(page.values("label", "for"))
    labels = {label for _, given in page.tags for label in given.get("aria-labelledby", "").split()}
    assert labels <= set(ids)


def test_the_key_field_is_never_filled_in_or_kept(site: Web) -> None:
    """A password field without completion; the script knows no storage and no cookie."""
    fields = [given for tag, given in page_of(site, FIRST).tags if tag == "input"]
    (key,) = [given for given in fields if given.get("name") == "bearer"]
    assert ("password", "off", None) == (key["type"], key["autocomplete"], key.get("value"))
    script = (HERE / "static" / "page.js").read_text()
    words = (
        "Storage",
        "cookie",
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval(",
        "document.write",
    )
    assert [] == [word for word in words if word in script]


def test_a_hostile_model_name_is_text(tmp_path: object) -> None:
    """Names come from operators' upstreams; in a page they are letters, whatever they say."""
    parts = Parts(tmp_path)  # type: ignore[arg-type]
    hostile = "</code><script>alert(1)</script>"
    parts.engine.model = hostile
    with web(parts) as site:
        answer = site.user.get(FIRST)
        assert Page(answer.text).text.count("alert(1)") >= 2
    assert "<script>alert" not in answer.text


def test_static_files_are_cached_by_version(site: Web) -> None:
    """For good under their version; asked anew without one; others do not exist."""
    source = page_of(site, FIRST).values("script", "src")[0]
    fresh = site.user.get(urljoin(FIRST, source))
    assert "immutable" in fresh.headers["cache-control"]
    assert fresh.content_type.startswith("text/javascript")
    assert "no-cache" == site.user.get("/docs/static/page.js?v=old").headers["cache-control"]
    for path in ("none.js", "..%2fsite.py", "..%2f..%2fconfig.py"):
        assert 404 == site.user.get(f"/docs/static/{path}").status


@pytest.mark.parametrize(
    "path", ["/docs/tokens/createcompletion", "/docs/x/y", "/docs/completions/"]
)
def test_an_unknown_page_is_a_404(site: Web, path: str) -> None:
    """An operation has one address."""
    assert 404 == site.user.get(path).status


def test_the_bare_address_leads_to_the_pages(site: Web) -> None:
    """Relative, so that it works behind a prefix."""
    answer = site.user.get("/")
    assert (307, "docs") == (answer.status, answer.headers["location"])


def test_examples_name_a_model_that_is_served(site: Web) -> None:
    """The embedded one first; without it, an upstream's."""
    assert site.parts.engine.model in page_of(site, FIRST).text


def test_every_text_is_used(tmp_path: object) -> None:
    """No text lies in the table that no page, document or script shows."""
    parts = Parts(tmp_path)  # type: ignore[arg-type]
    with web(parts) as site:
        pages = [site.user.get(f"/docs/{one.tag}/{one.id}?lang=en").text for one in OPERATIONS]
        pages += [site.user.get(f"/docs{path}?lang=en").text for path in ("", *SHOWN)]
        shown = html.unescape(" ".join(pages))
        shown += json.dumps(site.user.get("/openapi/relay.json").json, ensure_ascii=False)
    texts = {key: text for key, text in load()["en"].items() if not key.startswith(ELSEWHERE)}
    assert [] == [key for key, text in texts.items() if text not in shown]
