"""Upstreams on the console: added, weighed, tested, removed."""

import pytest

from baton.web.admin_reports import Place
from baton.web.console.upstreams import shares
from tests.fakes.web_parts import Web
from tests.web.console.browsing import visitor

GIVEN = {
    "name": "gpu",
    "url": "http://127.0.0.1:9/v1",
    "dialect": "vllm",
    "models": "small = Qwen/Small\nplain",
    "secret": "sk-provider-secret",
    "weight": "30",
}


@pytest.mark.usefixtures("_no_upstreams_left")
def test_added_changed_and_removed(site: Web) -> None:
    one = visitor(site)
    assert 303 == one.post("/console/upstreams", GIVEN).status
    record = site.parts.store.upstreams.get("gpu", secrets=True)
    assert {"small": "Qwen/Small", "plain": "plain"} == record.models
    page = one.get("/console/upstreams").text
    assert "gpu" in page
    assert "healthy" in page
    detail = one.get("/console/upstreams/gpu").text
    assert "sk-provider-secret" not in page + detail
    assert (
        303 == one.post("/console/upstreams/gpu/weight", {"weight": "70", "priority": "1"}).status
    )
    changed = {**GIVEN, "secret": "", "models": "small = other"}
    del changed["weight"]
    assert 303 == one.post("/console/upstreams/gpu", changed).status
    record = site.parts.store.upstreams.get("gpu", secrets=True)
    assert (70, 1, {"small": "other"}, "sk-provider-secret") == (
        record.weight,
        record.priority,
        record.models,
        record.secret,
    )
    tested = one.post("/console/upstreams/gpu/test", {"model": "small"})
    assert 200 == tested.status
    assert "failed" in tested.text, "nobody listens there"
    assert 303 == one.post("/console/upstreams/gpu/remove").status
    assert 404 == one.get("/console/upstreams/gpu").status


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"url": "ftp://x"},
        {"models": " "},
        {"dialect": "?"},
        {"weight": "x"},
    ],
)
def test_what_does_not_fit_is_told(site: Web, wrong: dict[str, str]) -> None:
    assert 400 == visitor(site).post("/console/upstreams", {**GIVEN, **wrong}).status


def test_shares_are_of_the_first_places() -> None:
    def place(name: str, priority: int, weight: int) -> Place:
        return Place(upstream=name, model="m", dialect="vllm", priority=priority, weight=weight)

    assert {"a": "75 %", "b": "25 %"} == shares(
        [place("a", 0, 75), place("b", 0, 25), place("c", 1, 100)]
    )
    assert {"a": "–"} == shares([place("a", 0, 0)])
    assert {} == shares([])
