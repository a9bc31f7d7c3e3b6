"""Keys on the console: the same rules as /admin/v1/keys, and the value shown once."""

import contextlib
import http.client
import re
import urllib.parse

import msgspec
import pytest

from baton.stores.base import KeyRecord, PartyRecord
from baton.web.console import keys
from tests.asking import Answer, Endpoint
from tests.bookkeeping import new_key
from tests.fakes.web_parts import MODEL, Web
from tests.web.console.browsing import Visitor, form_of, visitor

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'"


def made(one: Visitor, **given: str) -> tuple[str, str]:
    """A new key's id and value."""
    answer = one.post("/console/keys", {"name": "made", **given})
    found = re.search(r"keys/(key_\w+)/made$", answer.headers.get("location", answer.text))
    assert found is not None
    value = value_in(shown_once(one, answer))
    assert value is not None
    return found.group(1), value


def shown_once(one: Visitor, answer: Answer) -> Answer:
    """The page that a new value is shown on, after the answer that made it."""
    assert 303 == answer.status, answer.text
    path = "/console/" + answer.headers["location"].partition("console/")[2]
    return with_cookie(one, path, answer.headers["set-cookie"].partition(";")[0])


def with_cookie(one: Visitor, path: str, cookie: str) -> Answer:
    return one.get(path, Cookie=f"{one.cookie}; {cookie}")


def value_in(page: Answer) -> str | None:
    found = re.search(r'id="value">([^<]+)<', page.text)
    return None if found is None else found.group(1)


def test_a_key_is_made_limited_rotated_and_revoked(site: Web) -> None:
    one = visitor(site)
    key_id, value = made(one, requests_per_minute="60", budget="2.50", models=MODEL)
    assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/key").status
    page = one.get(f"/console/keys/{key_id}").text
    assert value not in page
    assert 'value="2.5"' in page
    assert "60 rpm" in page
    changed = {"name": "again", "requests_per_minute": "", "parse_special": "on"}
    assert 303 == one.post(f"/console/keys/{key_id}", changed).status
    record = site.parts.store.keys.get(key_id)
    assert ("again", None, None, True) == (
        record.name,
        record.requests_per_minute,
        record.budget_nano,
        record.parse_special,
    )
    rotated = one.post(f"/console/keys/{key_id}/rotate", {"overlap_hours": "0"})
    shown = shown_once(one, rotated)
    assert "rotated" in shown.text
    assert value_in(shown) not in (None, value)
    assert 303 == one.post(f"/console/keys/{key_id}/revoke").status
    page = one.get(f"/console/keys/{key_id}").text
    assert ("revoked" in page, "rpm" in page) == (True, False)
    assert site.parts.store.keys.get(key_id).revoked_us is not None


def test_a_value_is_shown_once_and_made_once(site: Web) -> None:
    """Loading its page again makes no other key, and shows none; the address and the cookie do not
    hold the value, and it is for who made it."""
    one, store = visitor(site), site.parts.store
    answer = one.post("/console/keys", {"name": "once"})
    keys_there = [each.name for each in store.keys.all()]
    path = "/console/" + answer.headers["location"].partition("console/")[2]
    made_cookie = answer.headers["set-cookie"].partition(";")[0]
    assert {"httponly", "samesite=strict", "max-age=120"} <= {
        part.strip() for part in answer.headers["set-cookie"].lower().split(";")
    }
    other = visitor(site, site.key(role="admin").key)
    assert 303 == with_cookie(other, path, made_cookie).status
    key_id = path.split("/")[3]
    another = path.replace(key_id, made(one, name="another")[0])
    assert 303 == with_cookie(one, another, made_cookie).status
    page = shown_once(one, answer)
    value = value_in(page)
    assert value is not None
    assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/key").status
    assert value not in str(answer.headers)
    assert "baton_made=" in page.headers["set-cookie"]
    assert "max-age=0" in page.headers["set-cookie"].lower()
    for cookie in ("a=b", "baton_made=", "baton_made=AAAA"):
        again = with_cookie(one, path, cookie)
        assert (303, f"../../../console/keys/{key_id}") == (again.status, again.headers["location"])
    assert [*keys_there, "other", "another"] == [each.name for each in store.keys.all()]


def test_a_value_waits_for_its_page_and_no_longer(site: Web) -> None:
    """Who asks for the page's head alone has not seen it; a sign-out takes it away unseen."""
    one = visitor(site)
    answer = one.post("/console/keys", {"name": "waits"})
    path = "/console/" + answer.headers["location"].partition("console/")[2]
    cookie = f"{one.cookie}; {answer.headers['set-cookie'].partition(';')[0]}"
    head = one.endpoint.ask("HEAD", path, None, {"Authorization": None, "Cookie": cookie})
    assert (200, False) == (head.status, "set-cookie" in head.headers)
    taken = set_cookies(one, "/console/sign-out")
    assert {"baton_session", "baton_made"} == taken.keys()
    assert all("max-age=0" in said.lower() for said in taken.values())


def set_cookies(one: Visitor, path: str) -> dict[str, str]:
    """Every cookie that the answer to a form sets, by name."""
    where = urllib.parse.urlsplit(one.endpoint.base_url)
    with contextlib.closing(http.client.HTTPConnection(where.netloc, timeout=10)) as connection:
        sent = {
            "Origin": one.endpoint.base_url,
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": one.cookie,
        }
        connection.request("POST", path, urllib.parse.urlencode({"csrf": one.mark}), sent)
        answer = connection.getresponse()
        assert 303 == answer.status
        told = answer.headers.get_all("set-cookie", [])
    return {said.partition("=")[0]: said for said in told}


def test_a_form_changes_what_its_visitor_changed(site: Web) -> None:
    """Whatever else the key has by now stays: what others set since the page was shown, a time that
    is not the end of a day, and texts that the page shows in another way."""
    one, keys = visitor(site), site.parts.store.keys
    key_id, _ = made(one, name=HOSTILE, budget="100", models="m", budget_amount="7")
    many = tuple(f"a-model-with-a-name-{number}" for number in range(200))
    keys.update(key_id, "test", models=many, expires_us=4_000_000_000_123_456)
    path = f"/console/keys/{key_id}"
    page = one.get(path)
    before = keys.update(
        key_id, "test", budget_nano=10**9, budgets=(), strict=True, networks=("::1/128",)
    )
    assert 303 == one.post(path, form_of(page, path, requests_per_minute="60")).status
    assert msgspec.structs.replace(before, requests_per_minute=60) == keys.get(key_id)
    cut = form_of(one.get(path), path, models=", ".join(many[1:]), expires="", strict="")
    assert 303 == one.post(path, [pair for pair in cut if pair != ("strict", "")]).status
    after = keys.get(key_id)
    assert (many[1:], None, False) == (after.models, after.expires_us, after.strict)
    assert dict(form_of(one.get(path), path))["models"] == ", ".join(many[1:])


def test_a_key_is_rotated_once_from_a_page(site: Web) -> None:
    """A button that is pressed twice, and a page that is out of date, end no value early."""
    one, keys = visitor(site), site.parts.store.keys
    key_id, value = made(one)
    path = f"/console/keys/{key_id}"
    form = form_of(one.get(path), f"{path}/rotate")
    one.post(f"{path}/rotate", form)
    rotated = keys.get(key_id)
    again = one.post(f"{path}/rotate", form)
    assert (409, True) == (again.status, "has a new value" in again.text)
    assert rotated == keys.get(key_id)
    assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/key").status


def test_nobody_undoes_what_another_changed(site: Web) -> None:
    """Of two who add a budget on the same page the second is told to look again; the same change
    twice is one."""
    one, keys = visitor(site), site.parts.store.keys
    key_id, _ = made(one, budget="100")
    path = f"/console/keys/{key_id}"
    page = one.get(path)
    form = [pair for pair in form_of(page, path) if not pair[0].startswith("budget_")]
    row = {"budget_amount": "7", "budget_unit": "nano_usd", "budget_span": "day", "budget_zone": ""}
    assert 303 == one.post(path, [*form, *row.items()]).status
    first = keys.get(key_id)
    assert 303 == one.post(path, [*form, *row.items()]).status
    refused = one.post(path, [*form, *{**row, "budget_span": "week"}.items()])
    assert (409, True) == (refused.status, "was changed meanwhile" in refused.text)
    assert first == keys.get(key_id)
    for seen in ("nothing", '{"name": ' + "[" * 5_000):
        wrong = [("seen", seen) if name == "seen" else (name, value) for name, value in form]
        assert 400 == one.post(path, wrong).status


@pytest.mark.parametrize(
    "given",
    [{"name": ""}, {"budget": "much"}, {"networks": "nowhere"}, {"role": "king"}, {"owner": "x"}],
)
def test_what_does_not_fit_is_told(site: Web, given: dict[str, str]) -> None:
    answer = visitor(site).post("/console/keys", {"name": "n", **given})
    assert answer.status in (400, 404)
    assert "did not work" in answer.text


def test_hostile_names_are_inert(site: Web) -> None:
    one = visitor(site)
    key_id, _ = made(one, name=HOSTILE)
    for path in ("/console/keys", f"/console/keys/{key_id}", "/console/audit"):
        page = one.get(path).text
        assert "<script>alert" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\u202e" in page


def test_finding_some(site: Web) -> None:
    one = visitor(site)
    key_id, _ = made(one, name="needle-in-keys")
    assert key_id in one.get("/console/keys?q=NEEDLE").text
    assert key_id not in one.get("/console/keys?q=haystack").text
    assert key_id not in one.get("/console/keys?state=ended").text
    assert 303 == one.post(f"/console/keys/{key_id}/revoke").status
    assert key_id in one.get("/console/keys?state=ended&q=needle").text
    assert key_id not in one.get("/console/keys?q=needle").text


def test_more_follow_a_key_that_was_revoked(site: Web) -> None:
    """The way on from a page holds also when the last key on it is not listed any more."""
    one, store = visitor(site), site.parts.store
    for number in range(keys.PER_PAGE + 2):
        new_key(store, f"paged-{number}")
    more = re.search(r'href="(\?[^"]*after=(key_\w+)[^"]*)"', one.get("/console/keys?q=paged").text)
    assert more is not None
    assert 303 == one.post(f"/console/keys/{more.group(2)}/revoke").status
    answer = one.get(f"/console/keys{more.group(1).replace('&amp;', '&')}")
    assert 200 == answer.status
    assert ["paged-1", "paged-0"] == re.findall(r">(paged-\d+)<", answer.text)


def team(site: Web, name: str) -> PartyRecord:
    parties = site.parts.store.parties
    organisation = PartyRecord(id=f"org_{name}", kind="organisation", name=name, created_us=1)
    one = PartyRecord(
        id=f"team_{name}", kind="team", name=name, parent=organisation.id, created_us=1
    )
    for each in (organisation, one):
        parties.add(each, "test")
    return one


def test_a_team_admin_reaches_its_own_keys_only(site: Web) -> None:
    mine = team(site, "keys-mine")
    stranger: KeyRecord = site.parts.user
    one = visitor(site, site.key(role="team_admin", owner=mine.id).key)
    key_id, _ = made(one, owner=mine.id)
    assert key_id in one.get("/console/keys").text
    assert stranger.id not in one.get("/console/keys?state=all").text
    assert 404 == one.get(f"/console/keys/{stranger.id}").status
    assert 404 == one.post(f"/console/keys/{stranger.id}/revoke").status
    assert 403 == one.post("/console/keys", {"name": "n", "role": "admin", "owner": mine.id}).status
    assert site.parts.store.keys.get(stranger.id).revoked_us is None
