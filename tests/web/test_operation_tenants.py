"""Two tenants × every route of the admin API × every role: nobody reaches what is not its own.

Made from the tables of operations and of the console's screens, which are all that is served: a
route that is added later is tried too. Planted routes without a guard show that it would be found.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from baton.stores.base import KeyRecord, PartyRecord
from baton.web import routes as web_routes
from baton.web.admin import Deleted, Page
from baton.web.admin_keys import KeyBody, KeyChangeBody, KeyImportBody, KeyRotateBody
from baton.web.admin_parties import MemberBody, OrganisationBody, PartyChangeBody
from baton.web.console.screen import Screen
from baton.web.console.table import SCREENS
from baton.web.operation import (
    ROLES,
    Access,
    AnyOperation,
    Method,
    Nothing,
    Operation,
    Visit,
)
from baton.web.routes import OPERATIONS
from tests.asking import Answer, Endpoint
from tests.bookkeeping import new_key
from tests.fakes.web_parts import MODEL, Parts, Web, web
from tests.web.console.booked import keep
from tests.web.console.browsing import visitor

ADMIN = [one for one in OPERATIONS if one.path.startswith("/admin/")]
OURS, THEIRS = "ours", "theirs"
KINDS = ("organisation", "team", "user", "key", "request")


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Nobody's route may leave them other than they were."""
    with two_tenants(tmp_path_factory.mktemp("tenants")) as running:
        yield running


@contextlib.contextmanager
def two_tenants(home: pathlib.Path) -> Iterator[Web]:
    """Two organisations with a team, a user and a key each, and a request of that key whose content
    is kept; somebody who runs the team, and somebody who runs the organisation, of each."""
    parts = Parts(home)
    for name in (OURS, THEIRS):
        parent = ""
        for kind in ("organisation", "team", "user"):
            record = PartyRecord(
                id=f"{kind}_{name}", kind=kind, name=f"{kind} of {name}", parent=parent
            )
            parts.store.parties.add(record, "test")
            parent = record.id
        key = new_key(parts.store, f"key_{name}", owner=parent, keep_content_days=1)
        keep(parts.store, key, f"request_{name}", f"request of {name}")
        new_key(parts.store, f"team-admin-{name}", role="team_admin", owner=f"team_{name}")
        new_key(parts.store, f"head-{name}", role="team_admin", owner=f"organisation_{name}")
    new_key(parts.store, "billing", role="billing")
    new_key(parts.store, "plain", owner=f"team_{OURS}")
    with web(parts) as running:
        yield running


def endpoint(tenants: Web, name: str) -> Endpoint:
    return Endpoint(tenants.user.base_url, f"sk-test-{name:_<40}", MODEL)


def ids(tenants: Web, whose: str) -> dict[str, str]:
    """By kind, the id of one object of that tenant."""
    [key] = tenants.parts.store.keys.find(f"key_{whose}")
    return {kind: f"{kind}_{whose}" for kind in KINDS} | {"key": key.id}


def body(one: AnyOperation, found: dict[str, str]) -> bytes | None:
    """Something that the operation would do, to or beside the objects of a tenant."""
    bodies: dict[Any, dict[str, object]] = {
        OrganisationBody: {"name": f"new {one.id}"},
        MemberBody: {
            "name": "new",
            "parent": found["team" if "user" in one.id else "organisation"],
        },
        PartyChangeBody: {"name": "changed"},
        KeyBody: {"name": "new", "owner": found["user"]},
        KeyImportBody: {"name": "new", "owner": found["user"], "value": f"sk-imported-{'x' * 20}"},
        KeyChangeBody: {"name": "changed"},
        KeyRotateBody: {},
    }
    if one.body is Nothing:
        return None
    return json.dumps(bodies.get(one.body, {})).encode()


def ask(tenants: Web, who: Endpoint, one: AnyOperation, whose: str) -> Answer:
    """Call the operation on the objects of that tenant."""
    found = ids(tenants, whose)
    kind = next((kind for kind in KINDS if f"/{kind}s" in one.path), "key")
    path = re.sub(r"\{\w+(:\w+)?\}", found[kind], one.path)
    return who.ask(one.method, path, body(one, found))


def state(tenants: Web) -> tuple[object, ...]:
    store = tenants.parts.store
    return store.parties.all(), store.keys.all(), store.upstreams.all(), store.prices.all()


@contextlib.contextmanager
def unchanged(tenants: Web) -> Iterator[None]:
    before = state(tenants)
    yield
    assert before == state(tenants)


def test_every_route_says_who_may_call_it() -> None:
    """There are such routes; nothing of the admin API is open, or for just any key."""
    assert len(ADMIN) >= 30
    assert set() == {one.id for one in ADMIN if one.access in (Access.OPEN, Access.KEY)}
    assert {Access.KEY, Access.REPORTS, Access.TEAM, Access.ADMIN} == ROLES.keys()


@pytest.mark.parametrize("one", ADMIN, ids=lambda one: one.id)
def test_roles(tenants: Web, one: AnyOperation) -> None:
    """Without a key 401; a key whose role does not have the route 403; and nothing happens."""
    nobody = Endpoint(tenants.user.base_url, "", MODEL)
    with unchanged(tenants):
        assert 401 == ask(tenants, nobody, one, THEIRS).status
        for name, role in (
            ("plain", "user"),
            ("billing", "billing"),
            (f"team-admin-{OURS}", "team_admin"),
        ):
            if role in ROLES[one.access]:
                continue
            answer = ask(tenants, endpoint(tenants, name), one, OURS)
            assert (403, "forbidden") == (answer.status, answer.error["code"]), role


@pytest.mark.parametrize("runs", ["team-admin", "head"])
@pytest.mark.parametrize("one", ADMIN, ids=lambda one: one.id)
def test_no_access_across_tenants(tenants: Web, one: AnyOperation, runs: str) -> None:
    """Who runs one tenant finds nothing of the other by any route, changes nothing of it, and puts
    nothing into it: what is asked for is not there (404), lists hold one's own."""
    who = endpoint(tenants, f"{runs}-{OURS}")
    with unchanged(tenants):
        answer = ask(tenants, who, one, THEIRS)
    if one.access is not Access.TEAM:
        assert 403 == answer.status
    elif one.method == "GET" and "{" not in one.path:
        assert 200 == answer.status
        assert answer.json["data"] or (runs, one.id) == ("team-admin", "adminlistorganisations")
    else:
        assert (404, "not_found") == (answer.status, answer.error["code"])
    store = tenants.parts.store
    theirs = [each for each in store.parties.all() if each.id.endswith(THEIRS)]
    secrets = [each.id for each in store.keys.all([each.id for each in theirs])]
    names = [text for each in theirs for text in (each.id, each.name) if text not in asked(one)]
    shown = answer.text.replace(ids(tenants, THEIRS)["key"], "") if "{" in one.path else answer.text
    for text in (*names, *secrets, f"request of {THEIRS}"):
        assert text not in re.sub(r"'[^']*'", "", shown), text


def asked(one: AnyOperation) -> tuple[str, ...]:
    """What the question itself named: the answer may say that there is no such thing."""
    return tuple(f"{kind}_{THEIRS}" for kind in KINDS) if one.has_body or "{" in one.path else ()


async def leak(visit: Visit[Any, Any]) -> Page[KeyRecord]:
    """A list that somebody forgot to narrow to the caller's party."""
    return Page(data=visit.services.keys.all(), has_more=False)


async def shut(visit: Visit[Any, Any]) -> Deleted:
    """A change that somebody forgot to refuse."""
    visit.services.keys.revoke(visit.part("key_id"), visit.actor)
    return Deleted(id=visit.part("key_id"))


def planted(method: Method, path: str, access: Access, run: Any) -> AnyOperation:
    """With the name of one whose texts are there."""
    return Operation(
        id="adminlistkeys", tag="admin", method=method, path=path, access=access, run=run
    )


@pytest.mark.parametrize(
    "one",
    [
        planted("GET", "/admin/v1/planted-keys", Access.TEAM, leak),
        planted("POST", "/admin/v1/keys/{key_id}/planted", Access.TEAM, shut),
    ],
    ids=lambda one: one.method,
)
def test_a_new_route_without_a_guard_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, one: AnyOperation
) -> None:
    """A route of the table that forgets whose objects it shows or changes fails the test above."""
    monkeypatch.setattr(web_routes, "OPERATIONS", (*OPERATIONS, one))
    with two_tenants(tmp_path) as served, pytest.raises(AssertionError):
        test_no_access_across_tenants(served, one, "head")


@pytest.mark.parametrize("access", [Access.OPEN, Access.KEY])
def test_a_new_route_that_is_open_is_found(monkeypatch: pytest.MonkeyPatch, access: Access) -> None:
    """So does one of the admin API that anybody, or any key, may call."""
    one = planted("GET", "/admin/v1/planted-keys", access, leak)
    monkeypatch.setitem(globals(), "ADMIN", [*ADMIN, one])
    with pytest.raises(AssertionError):
        test_every_route_says_who_may_call_it()


def test_nothing_is_served_beside_the_tables(tenants: Web) -> None:
    """Every path of the application is an operation's or a screen's: no route goes round them."""
    app = web_routes.build(tenants.parts.services())
    assert isinstance(app, Starlette)
    paths = {getattr(route, "path", "") for route in app.routes}
    known = {route.path for route in web_routes.routes(OPERATIONS)}
    assert paths == known | {screen.path for screen in SCREENS}


@pytest.mark.parametrize("runs", ["team-admin", "head"])
@pytest.mark.parametrize("screen", SCREENS, ids=lambda one: f"{one.method} {one.path}")
def test_no_page_shows_another_tenant(tenants: Web, screen: Screen, runs: str) -> None:
    """Who runs one tenant sees nothing of the other on any page of the console, and changes nothing
    of it, whatever the address names."""
    one = visitor(tenants, f"sk-test-{f'{runs}-{OURS}':_<40}")
    found = ids(tenants, THEIRS)
    kind = next((kind for kind in KINDS if f"/{kind}s" in screen.path), "key")
    path = re.sub(r"\{\w+(:\w+)?\}", found[kind], screen.path)
    with unchanged(tenants):
        answer = one.get(path) if screen.method == "GET" else one.post(path)
    named = {found[kind]} if path != screen.path else set()
    for text in {*found.values(), *(f"{each} of {THEIRS}" for each in KINDS)} - named:
        assert text not in answer.text, text


def test_who_runs_a_team_does_not_lift_its_limits(tenants: Web) -> None:
    """It changes what is under it, not itself; makes users' keys there, and none with power; a list
    narrowed to another tenant is empty."""
    who, found = endpoint(tenants, f"team-admin-{OURS}"), ids(tenants, OURS)
    patched = who.ask("PATCH", f"/admin/v1/users/{found['user']}", b'{"requests_per_minute": 5}')
    assert (200, 5) == (patched.status, patched.json["requests_per_minute"])
    for method, path, sent in (
        ("PATCH", f"/admin/v1/teams/{found['team']}", b'{"requests_per_minute": 5}'),
        ("POST", f"/admin/v1/teams/{found['team']}/close", b"{}"),
        ("POST", "/admin/v1/keys", b'{"name": "x", "role": "admin", "owner": "%b"}'),
        ("POST", "/admin/v1/keys", b'{"name": "x", "role": "billing", "owner": "%b"}'),
        ("POST", "/admin/v1/keys", b'{"name": "x", "role": "team_admin", "owner": "%b"}'),
    ):
        sent = sent.replace(b"%b", found["team"].encode())
        assert 403 == who.ask(method, path, sent).status, (method, path, sent)
    [own] = tenants.parts.store.keys.find(f"team-admin-{OURS}")
    for method, path in (("PATCH", ""), ("POST", "/rotate"), ("POST", "/revoke")):
        assert 403 == who.ask(method, f"/admin/v1/keys/{own.id}{path}", b"{}").status
    made = who.post("/admin/v1/keys", {"name": "mine", "owner": found["user"]})
    assert (201, found["user"]) == (made.status, made.json["owner"])
    assert 404 == who.post("/admin/v1/keys", {"name": "nobody's"}).status
    assert [] == who.get(f"/admin/v1/keys?owner=organisation_{THEIRS}").json["data"]
    mine = {each["id"] for each in who.get(f"/admin/v1/keys?owner={found['user']}").json["data"]}
    assert {found["key"], made.json["id"]} == mine


def test_a_closed_organisation_runs_nothing(tenants: Web) -> None:
    """Closing it ends every key under it, those of its admins too."""
    store = tenants.parts.store
    store.parties.add(PartyRecord(id="o_gone", kind="organisation", name="gone"), "test")
    new_key(store, "head-gone", role="team_admin", owner="o_gone")
    who = endpoint(tenants, "head-gone")
    assert 200 == who.get("/admin/v1/teams").status
    assert 200 == tenants.admin.post("/admin/v1/organisations/o_gone/close", {}).status
    assert 401 == who.get("/admin/v1/teams").status


def test_answers_name_no_digest(tenants: Web) -> None:
    """No list, and not the audit log, has anything that leads to a key's value."""
    digests = [record.digest for record in tenants.parts.store.keys.all()]
    for path in ("/admin/v1/keys?limit=1000", "/admin/v1/audit?limit=1000", "/admin/v1/changes"):
        text = tenants.admin.get(path).text
        for digest in digests:
            assert digest.hex() not in text
            assert msgspec.json.encode(digest).decode().strip('"') not in text
