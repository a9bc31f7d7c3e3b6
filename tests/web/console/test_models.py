"""Models and prices: set by operators, seen by those who pay them."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.fakes.web_parts import MODEL, USER_KEY, Parts, Web, web
from tests.web.console.browsing import visitor


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Web]:
    """Of its own: prices stay."""
    with web(Parts(tmp_path)) as running:
        yield running


def test_a_price_is_set_and_seen(site: Web) -> None:
    one = visitor(site)
    given = {"model": MODEL, "input": "0.15", "output": "0.60", "cached": "", "request": "0.001"}
    assert 303 == one.post("/console/prices", given).status
    for visit in (one, visitor(site, USER_KEY)):
        page = visit.get("/console/models").text
        assert MODEL in page
        assert "$0.15" in page
        assert "$0.60" in page
        assert "$0.001" in page
    [record] = [each for each in site.parts.store.prices.all() if each.model == MODEL][-1:]
    assert (150_000, None, 600_000, 1_000_000) == (
        record.input_pico,
        record.cached_input_pico,
        record.output_pico,
        record.request_nano,
    )


def test_a_cost_is_for_operators(site: Web) -> None:
    one = visitor(site)
    given = {"model": MODEL, "upstream": "embedded", "input": "0.07"}
    assert 303 == one.post("/console/prices", given).status
    assert "$0.07" in one.get("/console/models").text
    assert "$0.07" not in visitor(site, USER_KEY).get("/console/models").text


def test_what_is_no_price(site: Web) -> None:
    one = visitor(site)
    assert 400 == one.post("/console/prices", {"model": MODEL, "input": "cheap"}).status
    assert 400 == one.post("/console/prices", {"model": ""}).status
