"""What every page has: its language, its links, its answers."""

import re

from tests.fakes.web_parts import Web
from tests.web.console.browsing import visitor


def test_links_are_relative(site: Web) -> None:
    """So that pages work behind a proxy that serves Baton under a prefix."""
    page = visitor(site).get("/console/own").text
    links = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert "../console/own" in links
    assert [] == [link for link in links if link.startswith(("/", "http"))]


def test_other_choices_stay_when_one_is_made(site: Web) -> None:
    page = visitor(site).get("/console/own?x=%22%3E&lang=en").text
    assert 'href="?x=%22%3E&amp;theme=dark"' in page


def test_a_script_is_answered_in_json(site: Web) -> None:
    answer = visitor(site).post("/console/sign-out", Origin=None, Accept="application/json")
    assert (403, "application/json") == (answer.status, answer.content_type)
