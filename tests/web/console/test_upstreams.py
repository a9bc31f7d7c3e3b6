"""Upstreams on the console: added, weighed, tested, removed."""

import re

import msgspec
import pytest

from baton.web.admin_reports import Place
from baton.web.console.upstreams import shares
from tests.fakes.web_parts import Web
from tests.web.console.browsing import form_of, visitor

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


@pytest.mark.usefixtures("_no_upstreams_left")
def test_a_weight_brings_no_priority_back(site: Web) -> None:
    """The list's form says both; what its visitor did not move may be another's by now."""
    one, upstreams = visitor(site), site.parts.store.upstreams
    assert 303 == one.post("/console/upstreams", GIVEN).status
    path = "/console/upstreams/gpu/weight"
    page = one.get("/console/upstreams")
    upstreams.update("gpu", "test", priority=3)
    assert 303 == one.post(path, form_of(page, path, weight="7")).status
    found = upstreams.get("gpu")
    assert (7, 3) == (found.weight, found.priority)


@pytest.mark.usefixtures("_no_upstreams_left")
def test_a_form_changes_what_its_visitor_changed(site: Web) -> None:
    """What others set since the page was shown stays, and all of a long list of models."""
    one, upstreams = visitor(site), site.parts.store.upstreams
    models = "\n".join(f"a-public-name-{number} = its/own" for number in range(150))
    assert 303 == one.post("/console/upstreams", {**GIVEN, "models": models}).status
    page = one.get("/console/upstreams/gpu")
    before = upstreams.update("gpu", "test", url="http://127.0.0.1:10/v1", stall_timeout_s=2.0)
    sent = form_of(page, "/console/upstreams/gpu", weight="7")
    assert 303 == one.post("/console/upstreams/gpu", sent).status
    assert msgspec.structs.replace(before, weight=7) == upstreams.get("gpu", secrets=True)
    refused = form_of(page, "/console/upstreams/gpu", url="http://127.0.0.1:11/v1", weight="8")
    assert 409 == one.post("/console/upstreams/gpu", refused).status
    assert msgspec.structs.replace(before, weight=7) == upstreams.get("gpu", secrets=True)
    shown = dict(form_of(one.get("/console/upstreams/gpu"), "/console/upstreams/gpu"))
    assert models == shown["models"].strip()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"url": "ftp://x"},
        {"models": " "},
        {"dialect": "?"},
        {"weight": "x"},
        {"in_flight_max": "0"},
        {"first_byte_timeout_s": "0"},
        {"stall_timeout_s": "-1"},
        {"total_timeout_s": "86401"},
        {"total_timeout_s": "nan"},
        {"hedge_after_s": "soon"},
        {"probe_interval_s": "0.5"},
    ],
)
def test_what_does_not_fit_is_told(site: Web, wrong: dict[str, str]) -> None:
    answer = visitor(site).post("/console/upstreams", {**GIVEN, **wrong})
    assert 400 == answer.status
    assert set(wrong) & {"name", "url", "models", "dialect"} or next(iter(wrong)) in answer.text


TIMES = {
    "first_byte_timeout_s": "2.5",
    "stall_timeout_s": "30",
    "total_timeout_s": "600",
    "hedge_after_s": "0.25",
    "probe_interval_s": "10",
}


@pytest.mark.usefixtures("_no_upstreams_left")
def test_times_and_limits(site: Web) -> None:
    """Set when it is made and by a change, shown again, and given up by leaving them empty; a form
    without them changes none."""

    def kept() -> dict[str, object]:
        record = site.parts.store.upstreams.get("gpu")
        return {name: getattr(record, name) for name in (*TIMES, "in_flight_max")}

    one = visitor(site)
    page = one.get("/console/upstreams").text
    assert re.search(r'name="first_byte_timeout_s"[^>]*value="" placeholder="\d', page)
    assert 303 == one.post("/console/upstreams", {**GIVEN, **TIMES, "in_flight_max": "8"}).status
    expected = {name: float(value) for name, value in TIMES.items()} | {"in_flight_max": 8}
    assert expected == kept()
    page = one.get("/console/upstreams/gpu").text
    for name, value in TIMES.items():
        assert re.search(rf'name="{name}"[^>]*value="{value}"', page)
    assert 303 == one.post("/console/upstreams/gpu", {**GIVEN, "in_flight_max": "9"}).status
    assert {**expected, "in_flight_max": 9} == kept()
    empty = {**GIVEN, **dict.fromkeys(TIMES, ""), "hedge_after_s": "1"}
    assert 303 == one.post("/console/upstreams/gpu", empty).status
    assert {**dict.fromkeys(TIMES), "hedge_after_s": 1.0, "in_flight_max": 9} == kept()
    assert 400 == one.post("/console/upstreams/gpu", {**GIVEN, "stall_timeout_s": "x"}).status


def test_shares_are_of_the_first_places() -> None:
    def place(name: str, priority: int, weight: int) -> Place:
        return Place(upstream=name, model="m", dialect="vllm", priority=priority, weight=weight)

    assert {"a": "75 %", "b": "25 %"} == shares(
        [place("a", 0, 75), place("b", 0, 25), place("c", 1, 100)]
    )
    assert {"a": "–"} == shares([place("a", 0, 0)])
    assert {} == shares([])
