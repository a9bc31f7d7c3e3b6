"""The guide as it is served: whole without scripts, inert, linked, searchable."""

import json
from urllib.parse import urljoin

import pytest

from baton.web.guide import Guide, load
from baton.web.texts import load as load_texts
from tests.docs.pages import NAMES
from tests.fakes.web_parts import Web
from tests.web.test_pages import page_of


def guide() -> Guide:
    return load(load_texts(), "https://relay.test/base", "https://relay.test/base")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_served(site: Web, name: str, language: str) -> None:
    """One title, ids that are unique, nothing that runs, the menu with this page marked."""
    page = page_of(site, f"/docs/guide/{name}?lang={language}")
    assert 1 == len([tag for tag, _ in page.tags if tag == "h1"])
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert {given["src"].partition("?")[0] for tag, given in page.tags if tag == "script"} == {
        "../../docs/static/page.js",
        "../../docs/static/search.js",
    }
    assert [] == [name for _, given in page.tags for name in given if name.startswith("on")]
    current = [given for tag, given in page.tags if given.get("aria-current") == "page"]
    assert [f"../../docs/guide/{name}?lang={language}"] == [given["href"] for given in current]


def test_every_link_of_every_page_leads_somewhere_here(site: Web) -> None:
    """Relative, fetched once each, 200; none to another host."""
    targets: dict[str, str] = {}
    for name in NAMES:
        path = f"/docs/guide/{name}?lang=en"
        for link in page_of(site, path).values("a", "href"):
            assert "//" not in link, f"{name}: {link}"
            assert not link.startswith("/"), f"{name}: {link}"
            targets.setdefault(urljoin(path, link).partition("#")[0], name)
    assert len(targets) > len(NAMES)
    lost = {target: of for target, of in targets.items() if site.user.get(target).status != 200}
    assert {} == lost


def test_examples_name_this_server(site: Web) -> None:
    """What is copied works here."""
    page = page_of(site, "/docs/guide/quick-start?lang=en")
    assert "curl https://relay.test/base/v1/completions" in page.text
    assert "127.0.0.1:8080" not in page.text


def test_an_unknown_page_is_a_404(site: Web) -> None:
    """Also one that tries to leave the folder."""
    for name in ("nothing", "..%2fen%2fkeys", "contents.toml"):
        assert 404 == site.user.get(f"/docs/guide/{name}").status


def test_the_search_has_its_index(site: Web) -> None:
    """In the language that was asked for."""
    for language, word in (("zh", "快速开始"), ("en", "Quick start")):
        answer = site.user.get(f"/docs/search.json?lang={language}")
        assert "application/json" == answer.content_type
        assert word == json.loads(answer.text)[0]["title"]


def test_the_first_page_leads_to_the_guide(site: Web) -> None:
    """Every page of it, by its title."""
    links = page_of(site, "/docs?lang=en").values("a", "href")
    assert set() == {f"docs/guide/{name}?lang=en" for name in guide().names} - set(links)
