"""Contents over the admin API: for those who administer the key, each reading in the audit log."""

from collections.abc import Iterator
from typing import Any

import pytest

from baton.stores.base import KeyRecord, PartyRecord
from tests.asking import Endpoint
from tests.bookkeeping import new_key
from tests.fakes.web_parts import MODEL, Parts, Web, web
from tests.web.console.booked import book, keep


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A team with a key that keeps content, and somebody who runs the team."""
    parts = Parts(tmp_path_factory.mktemp("contents"), content_days_max=30)
    organisation = PartyRecord(id="o", kind="organisation", name="o")
    parts.store.parties.add(organisation, "test")
    parts.store.parties.add(PartyRecord(id="t", kind="team", name="t", parent="o"), "test")
    new_key(parts.store, "keeps", owner="t", keep_content_days=3)
    new_key(parts.store, "runs", owner="t", role="team_admin")
    new_key(parts.store, "billing", role="billing")
    with web(parts) as running:
        yield running


def keeping(desk: Web) -> KeyRecord:
    [key] = desk.parts.store.keys.find("keeps")
    return key


def endpoint(desk: Web, name: str) -> Endpoint:
    return Endpoint(desk.user.base_url, f"sk-test-{name:_<40}", MODEL)


def path(request_id: str) -> str:
    return f"/admin/v1/requests/{request_id}/content"


def test_what_is_kept_is_read(desk: Web) -> None:
    """By an admin and by who runs the team; who read what is in the audit log."""
    cut: dict[str, Any] = {"cut_at_bytes": 10, "suffix": "s"}
    keep(desk.parts.store, keeping(desk), "read", [1, 2], "a\x1b", "b\u202e", **cut)
    before = desk.parts.store.changes.latest()
    for who in (desk.admin, endpoint(desk, "runs")):
        told = who.get(path("read"))
        assert (200, "no-store") == (told.status, told.headers["cache-control"])
        texts = [(each["index"], each["text"]) for each in told.json["completions"]]
        assert [(0, "a\x1b"), (1, "b\u202e")] == texts
        assert ([[1, 2]], "s", 10) == tuple(
            told.json[name] for name in ("prompts", "suffix", "cut_at_bytes")
        )
    lasts_us = told.json["kept_until_us"] - told.json["created_us"]
    assert 3 * 86_400 * 10**6 <= lasts_us + 10**6
    found = [(one.actor, one.action) for one in desk.parts.store.changes.since(before)]
    [runs] = desk.parts.store.keys.find("runs")
    assert [(f"key:{key.id}", "read") for key in (desk.parts.admin, runs)] == found
    shown = desk.admin.get("/admin/v1/audit?kind=content&object_id=read").json["data"]
    assert [{"key": keeping(desk).id}] * 2 == [one["detail"] for one in shown]


def test_who_may_not(desk: Web) -> None:
    """Who reads reports, and the caller itself: 403; of another's request there is none."""
    keep(desk.parts.store, keeping(desk), "closed", "p")
    book(desk.parts.store, desk.parts.user, "elsewhere")
    before = desk.parts.store.changes.latest()
    for name in ("billing", "keeps"):
        assert 403 == endpoint(desk, name).get(path("closed")).status
    foreign, none = (endpoint(desk, "runs").get(path(name)) for name in ("elsewhere", "nothing"))
    assert 404 == foreign.status == none.status
    assert foreign.text == none.text.replace("nothing", "elsewhere")
    assert before == desk.parts.store.changes.latest()


def test_why_nothing_is_kept(desk: Web) -> None:
    """The key keeps nothing; it is not written; its days are over."""
    store, key = desk.parts.store, keeping(desk)
    book(store, desk.parts.user, "off")
    assert "keeps no content" in desk.admin.get(path("off")).error["message"]
    book(store, key, "absent")
    absent = desk.admin.get(path("absent"))
    assert (404, "not_found") == (absent.status, absent.error["code"])
    assert "gave way" in absent.error["message"]
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE request SET created_us = 7 WHERE request_id = 'absent'")
    assert "3 days" in desk.admin.get(path("absent")).error["message"]


def test_a_key_is_switched_on_and_off(desk: Web) -> None:
    """At its making and later, within the setting, with an entry in the audit log; off deletes."""
    made = desk.admin.post("/admin/v1/keys", {"name": "n", "owner": "t", "keep_content_days": 30})
    assert (201, 30) == (made.status, made.json["keep_content_days"])
    many = {"name": "n", "keep_content_days": 31}
    for answer in (
        desk.admin.post("/admin/v1/keys", many),
        desk.admin.ask("PATCH", f"/admin/v1/keys/{made.json['id']}", b'{"keep_content_days": 31}'),
    ):
        assert (400, "keep_content_days") == (answer.status, answer.error["param"])
    key = desk.parts.store.keys.get(made.json["id"])
    keep(desk.parts.store, key, "switched", "p")
    runs = endpoint(desk, "runs")
    assert 200 == runs.get(path("switched")).status
    changed = runs.ask("PATCH", f"/admin/v1/keys/{key.id}", b'{"keep_content_days": 0}')
    assert (200, 0) == (changed.status, changed.json["keep_content_days"])
    assert "keeps no content" in runs.get(path("switched")).error["message"]
    [entry, _] = desk.admin.get(f"/admin/v1/audit?object_id={key.id}").json["data"]
    assert {"before": {"keep_content_days": 30}, "after": {"keep_content_days": 0}} == entry[
        "detail"
    ]
    plain = desk.admin.post("/admin/v1/keys", {"name": "plain"})
    assert 0 == plain.json["keep_content_days"]


def test_another_master_key(desk: Web) -> None:
    """What does not open says why, and nobody has read it."""
    store = desk.parts.store
    keep(store, keeping(desk), "sealed", "p")
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE content SET sealed = x'00' WHERE request_id = 'sealed'")
    answer = desk.admin.get(path("sealed"))
    assert 400 == answer.status
    assert "another master key" in answer.error["message"]
