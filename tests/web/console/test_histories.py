"""Upstreams over time on the console: strips of all, a page for each."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.fakes.web_parts import Web
from tests.web.console.browsing import visitor
from tests.web.console.seen import see

GPU = {
    "name": "gpu",
    "url": "http://127.0.0.1:9/v1",
    "dialect": "vllm",
    "models": {"small": "Qwen/Small"},
}


@pytest.fixture
def _gpu(site: Web) -> Iterator[None]:
    assert 201 == site.admin.post("/admin/v1/upstreams", GPU).status
    yield
    assert 200 == site.admin.ask("DELETE", "/admin/v1/upstreams/gpu").status


@pytest.mark.usefixtures("_gpu")
def test_strips_and_pages(site: Web) -> None:
    """A strip each, the embedded model's too, told in words for those who do not see it; the page
    has every window, the table and the changes."""
    see(site.parts.store, "gpu", int(time.time()))
    one = visitor(site)
    page = one.get("/console/upstreams?window=hour").text
    labels = re.findall(r'class="strip"[^>]*aria-label="([^"]*)"', page)
    assert 2 == len(labels)
    assert labels[0].startswith("gpu: ejected, half-open, degraded, warming, healthy;")
    assert "10 ejections" in labels[0]
    assert labels[1].startswith("embedded: no traffic; 0 failures")
    for window in ("hour", "day", "week"):
        page = one.get(f"/console/upstreams/gpu/history?window={window}").text
        assert (1, 3) == (page.count('class="strip"'), page.count('class="lane"'))
        assert "first_byte status 503" in page
        assert 'class="part-first_token_p95_ms" d="M' in page
    assert "gpu/history" in one.get("/console/upstreams/gpu").text


def test_changes_in_pages(site: Web) -> None:
    """Twenty at a time; the next ones by the link."""
    for _ in range(5):
        see(site.parts.store, "embedded", int(time.time()))
    one = visitor(site)
    page = one.get("/console/upstreams/embedded/history?window=hour").text
    assert 20 == page.count("relay-1/4711")
    found = re.search(r'href="(\?window=hour&amp;before=\d+)"', page)
    assert found is not None
    link = found.group(1).replace("&amp;", "&")
    rest = one.get(f"/console/upstreams/embedded/history{link}").text
    assert 10 == rest.count("relay-1/4711")
    assert [] == [each for each in re.findall(r"before=(\d+)", rest) if each not in link]


def test_nothing_yet(site: Web) -> None:
    """A quiet upstream has a page; an unknown one has none."""
    assert 404 == visitor(site).get("/console/upstreams/nobody/history").status
    assert 400 == visitor(site).get("/console/upstreams/embedded/history?window=x").status
