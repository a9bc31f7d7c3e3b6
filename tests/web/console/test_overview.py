"""The overview: sums and charts of every window, for those who read reports."""

import pytest

from tests.fakes.web_parts import Web
from tests.web.console.booked import book
from tests.web.console.browsing import visitor


@pytest.mark.parametrize("window", ["hour", "day", "week", "quarter"])
def test_what_was_asked_is_in_every_window(site: Web, window: str) -> None:
    one = visitor(site)
    before = one.get(f"/console/overview/data?window={window}").json["series"]
    book(site.parts.store, site.parts.user, f"overview-{window}", model="overview-model")
    told = one.get(f"/console/overview/data?window={window}").json
    series = told["series"]
    assert 1 == sum(series["requests"]) - sum(before["requests"])
    assert (10, 5) == (
        sum(series["prompt"]) - sum(before["prompt"]),
        sum(series["completion"]) - sum(before["completion"]),
    )
    assert 30.0 <= series["first50"][-1] <= 50.0, "40 ms, within its bucket"
    assert 1.5 <= series["gap50"][-1] <= 2.0, "2 ms, within its bucket"
    lengths = {len(values) for values in series.values() if isinstance(values, list)}
    assert 1 == len(lengths)
    page = one.get(f"/console/overview?window={window}")
    assert 200 == page.status
    assert "overview-model" in page.text


def test_an_unknown_window_is_refused(site: Web) -> None:
    assert 400 == visitor(site).get("/console/overview?window=year").status


def test_a_billing_reader_sees_it(site: Web) -> None:
    key = site.key(role="billing")
    one = visitor(site, key.key)
    assert 200 == one.get("/console/overview").status
    assert 403 == one.get("/console/keys").status
    assert 403 == one.get("/console/upstreams").status
