"""The table of capabilities as a page: every dialect and field, in both languages."""

import html

import pytest

from baton.routing.matrix import PROBES
from baton.upstreams import registry
from tests.fakes.web_parts import Web
from tests.web.test_pages import Page


@pytest.mark.parametrize(("language", "refused"), [("zh", "拒绝"), ("en", "refused")])
def test_every_cell_is_there(site: Web, language: str, refused: str) -> None:
    """Rows are fields, columns dialects; a refusal has its words."""
    answer = site.user.get(f"/docs/capabilities?lang={language}")
    assert 200 == answer.status
    tags = Page(answer.text).tags
    heads = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert len(registry.names()) + 1 == heads.count("col")
    assert len(PROBES) == heads.count("row")
    cells = [attributes for tag, attributes in tags if tag == "td"]
    assert len(PROBES) * len(registry.names()) == len(cells)
    assert refused in answer.text
    told = [cell["title"] for cell in cells if cell["class"] == "cell refused"]
    assert all(told)
    assert html.unescape(told[0]).strip()


def test_the_index_leads_there(site: Web) -> None:
    """From the first page on."""
    assert 'href="docs/capabilities' in site.user.get("/docs?lang=en").text
