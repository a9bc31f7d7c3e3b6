"""What operators read: routes per model, prices, usage, changes."""

import datetime
import re
from collections.abc import Iterator

import pytest

from baton.stores.base import UpstreamRecord
from baton.web.admin_reports import day_of, start_us
from baton.web.services import UsageQuery
from tests.bookkeeping import new_key
from tests.fakes.web_parts import MODEL, Parts, Web, web
from tests.web.console.booked import book

PRICES = "/admin/v1/prices"


def test_models_show_where_their_requests_go(site: Web) -> None:
    """Upstreams in the order in which they are tried; the embedded model has none."""
    for name, priority in (("one", 2), ("two", 1)):
        record = UpstreamRecord(
            name=name,
            url="http://127.0.0.1:9/v1",
            dialect="openai",
            models={"shared": f"{name}-own"},
            priority=priority,
        )
        site.parts.store.upstreams.add(record, "test")
    site.run(site.parts.refresh)
    models = {each["id"]: each for each in site.admin.get("/admin/v1/models").json["data"]}
    for name in ("one", "two"):
        site.parts.store.upstreams.remove(name, "test")
    site.run(site.parts.refresh)
    assert ["two", "one"] == [each["upstream"] for each in models["shared"]["upstreams"]]
    assert "two-own" == models["shared"]["upstreams"][0]["model"]
    assert (False, True) == (models["shared"]["embedded"], models[MODEL]["embedded"])


def test_prices_are_added_never_changed(site: Web) -> None:
    """Each gets a version; the list shows all of a model, and the catalogue has them at once."""
    first = site.admin.post(PRICES, {"model": "m", "input_pico": 3, "effective_us": 5})
    second = site.admin.post(PRICES, {"model": "m", "output_pico": 4, "cached_input_pico": 0})
    site.admin.post(PRICES, {"model": "other"})
    assert (201, 201) == (first.status, second.status)
    listed = site.admin.get(f"{PRICES}?model=m").json["data"]
    assert [first.json, second.json] == listed
    assert (5, None, 0) == (
        listed[0]["effective_us"],
        listed[0]["cached_input_pico"],
        listed[1]["cached_input_pico"],
    )
    assert second.json["effective_us"] > 10**15
    assert first.json["version"] in [each.version for each in site.parts.catalogue.prices]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": "m", "input_pico": 0.5}, "input_pico"),
        ({"model": "m", "output_pico": -1}, "output_pico"),
        ({"model": "m", "output_pico": 10**16}, "output_pico"),
        ({"model": "m", "currency": "CNY"}, "currency"),
    ],
)
def test_a_bad_price_is_refused(site: Web, body: dict[str, object], param: str) -> None:
    """Money is whole numbers in range, or nothing."""
    answer = site.admin.post(PRICES, body)
    assert (400, param) == (answer.status, answer.error["param"])


def test_usage_without_requests(site: Web) -> None:
    """Nothing is an empty list. Other tests' requests may be there: in which order they run nobody
    says."""
    query = "group_by=key,model,day&key=nobody"
    assert [] == site.admin.get(f"/admin/v1/usage?{query}").json["data"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("group_by=colour", "group_by"),
        ("since=2026-01-02&until=2026-01-01", "since"),
        ("since=yesterday", "since"),
        ("from=1", "from"),
        ("until=9999-12-31", "until"),
        ("until=0001-01-01", "until"),
        ("since=0001-01-01", "since"),
    ],
)
def test_a_bad_question_is_refused(site: Web, query: str, param: str) -> None:
    """Instead of an answer to another one."""
    answer = site.admin.get(f"/admin/v1/usage?{query}")
    assert (400, param) == (answer.status, answer.error["param"])


def test_usage_is_asked_by_whole_days(site: Web) -> None:
    """Both days are included, in UTC; each group once; the filters go through as they were
    given.
    """
    query = "since=2026-01-30&until=2026-02-01&group_by=model,day,model&key=k&model=m"
    assert 200 == site.admin.get(f"/admin/v1/usage?{query}").status
    expected = UsageQuery(
        group_by=("model", "day"),
        from_us=start_us(datetime.date(2026, 1, 30)),
        until_us=start_us(datetime.date(2026, 2, 2)),
        key_id="k",
        model="m",
    )
    assert expected == site.parts.asked[-1]


def test_days_begin_at_midnight_utc() -> None:
    """The last microsecond of a day belongs to it, the next one to the next."""
    day = datetime.date(2026, 2, 28)
    next_day = datetime.date(2026, 3, 1)
    assert (day, next_day) == (day_of(start_us(next_day) - 1), day_of(start_us(next_day)))


def test_changes_after_no_number_that_a_book_can_hold(site: Web) -> None:
    """A number beyond 64 bits is refused, not handed to the store."""
    answer = site.admin.get(f"/admin/v1/changes?after={2**63}")
    assert (400, "after") == (answer.status, answer.error["param"])


def test_changes_tell_who_did_what(site: Web) -> None:
    """Every change through the API stands in the log with the key that made it."""
    key_id = site.admin.post("/admin/v1/keys", {"name": "audited"}).json["id"]
    found, after = [], 0
    while True:
        part = site.admin.get(f"/admin/v1/changes?after={after}&limit=3").json
        found += part["data"]
        if not part["has_more"]:
            break
        after = part["data"][-1]["seq"]
    (change,) = [each for each in found if each["object_id"] == key_id]
    assert (f"key:{site.parts.admin.id}", "key", "create") == (
        change["actor"],
        change["kind"],
        change["action"],
    )
    assert sorted({each["seq"] for each in found}) == [each["seq"] for each in found]


def test_usage_by_end_user_knows_no_model(site: Web) -> None:
    """Instead of an empty answer."""
    answer = site.admin.get("/admin/v1/usage?group_by=end_user&model=m")
    assert (400, "group_by") == (answer.status, answer.error["param"])
    assert 200 == site.admin.get("/admin/v1/usage?group_by=end_user,team&party=p").status


def test_usage_as_a_table(site: Web) -> None:
    """CSV, with the columns that were asked for."""
    answer = site.admin.get("/admin/v1/usage?group_by=key,day&format=csv")
    assert "text/csv; charset=utf-8" == answer.content_type
    columns = answer.text.splitlines()[0].split(",")
    assert ["day", "key_id", "requests"] == columns[:3]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Seven models that three keys have used."""
    parts = Parts(tmp_path_factory.mktemp("used"))
    for number in range(3):
        record = new_key(parts.store, f"k{number}")
        for model in range(7):
            name = f"r{number}-{model}"
            book(parts.store, record, name, model=f"m{model}, \u00e9")
    with web(parts) as site:
        yield site


@pytest.mark.parametrize("groups", ["model,key", "day,upstream,model", "key"])
def test_usage_comes_in_pages(used: Web, groups: str) -> None:
    """All rows once, in the same order as at once."""
    question = f"/admin/v1/usage?group_by={groups}"
    whole = used.admin.get(question).json
    assert (False, None) == (whole["has_more"], whole["next"])
    found, after = [], ""
    while True:
        page = used.admin.get(f"{question}&limit=2&after={after}").json
        found += page["data"]
        assert len(page["data"]) <= 2
        assert page["has_more"] == (page["next"] is not None)
        if page["next"] is None:
            break
        after = page["next"]
    assert whole["data"] == found
    assert len(found) == (3 if groups == "key" else 21 if "key" in groups else 7)


def test_a_table_tells_where_it_goes_on(used: Web) -> None:
    """By the header `link`, with the same question."""
    path = "/admin/v1/usage"
    answer = used.admin.get(f"{path}?group_by=model&format=csv&limit=5")
    assert 6 == len(answer.text.splitlines())
    found = re.fullmatch(r'<(\?.*)>; rel="next"', answer.headers["link"])
    assert found is not None
    rest = used.admin.get(path + found.group(1))
    assert (3, None) == (len(rest.text.splitlines()), rest.headers.get("link"))


@pytest.mark.parametrize("after", ["x", "eyJ9", "WyJhIl0=", "WzFd", "%C3%A9"])
def test_what_was_never_a_cursor(used: Web, after: str) -> None:
    """400, as is one of another question."""
    answer = used.admin.get(f"/admin/v1/usage?group_by=model,key&after={after}")
    assert (400, "after") == (answer.status, answer.error["param"])
    assert 400 == used.admin.get("/admin/v1/usage?limit=0").status


def test_the_ledger_can_be_audited(site: Web) -> None:
    """A right one has no faults; users may not ask."""
    assert [] == site.admin.get("/admin/v1/audit-ledger").json["faults"]
    assert 403 == site.user.get("/admin/v1/audit-ledger").status
