"""Keys by the admin API: made, imported, read, changed, revoked."""

import hashlib
import time

import pytest

from baton.admission import keys
from tests.asking import Answer, Endpoint
from tests.fakes.web_parts import MODEL, Web

KEYS = "/admin/v1/keys"


def made(site: Web, **fields: object) -> Answer:
    return site.admin.post(KEYS, {"name": "made", **fields})


def patch(site: Web, key_id: str, body: bytes) -> Answer:
    return site.admin.ask("PATCH", f"{KEYS}/{key_id}", body)


def test_a_new_key_is_shown_once_and_works(site: Web) -> None:
    """201 with the value; no other answer has it, and the store has its digest only."""
    answer = made(site, models=[MODEL], requests_per_minute=5, budget_nano=7)
    value, key_id = answer.json["value"], answer.json["id"]
    assert 201 == answer.status
    assert keys.plausible(value)
    assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/models").status
    for path in (KEYS, f"{KEYS}/{key_id}", "/admin/v1/changes?limit=1000"):
        assert value not in site.admin.get(path).text
    seen = site.admin.get(f"{KEYS}/{key_id}").json
    assert ([MODEL], 5, 7, "user") == (
        seen["models"],
        seen["requests_per_minute"],
        seen["budget_nano"],
        seen["role"],
    )
    assert value.startswith(seen["head"])
    assert "digest" not in seen
    assert hashlib.sha256(value.encode()).digest() == site.parts.store.keys.get(key_id).digest


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"role": "root"}, "role"),
        ({"budget_nano": -1}, "budget_nano"),
        ({"budget_nano": 2**70}, "budget_nano"),
        ({"budget_nano": 0.5}, "budget_nano"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"expires_us": 1_800_000_000 * 10**9}, "expires_us"),  # nanoseconds
        ({"default_model": "a", "models": ["b"]}, "default_model"),
        ({"digest": "x"}, "digest"),
        ({"value": "sk-0123456789abcdefghij"}, "value"),
    ],
)
def test_a_bad_field_is_named(site: Web, fields: dict[str, object], param: str) -> None:
    """Nothing is stored, and the caller is told which field is wrong."""
    answer = made(site, **fields)
    assert (400, param) == (answer.status, answer.error["param"])


def test_a_change_touches_only_what_is_given(site: Web) -> None:
    """Absent stays, null clears; an empty change changes nothing."""
    key_id = made(site, requests_per_minute=5, budget_nano=7, expires_us=2**57).json["id"]
    assert 5 == patch(site, key_id, b'{"budget_nano": 9}').json["requests_per_minute"]
    after = patch(site, key_id, b'{"requests_per_minute": null, "name": "renamed"}').json
    assert (None, 9, 2**57, "renamed") == (
        after["requests_per_minute"],
        after["budget_nano"],
        after["expires_us"],
        after["name"],
    )
    assert after == patch(site, key_id, b"{}").json


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"role": "admin"}', "role"),
        (b'{"revoked_us": null}', "revoked_us"),
        (b'{"default_model": "x"}', "default_model"),
    ],
)
def test_some_things_never_change(site: Web, body: bytes, param: str) -> None:
    """A key's role and its revocation are for good; its default must be one of its models."""
    key_id = made(site, models=[MODEL]).json["id"]
    answer = patch(site, key_id, body)
    assert (400, param) == (answer.status, answer.error["param"])


def test_a_revoked_key_is_refused_at_once(site: Web) -> None:
    """In the worker that revoked it: at once; twice is as once."""
    answer = made(site)
    other = Endpoint(site.user.base_url, answer.json["value"], MODEL)
    assert 200 == other.get("/v1/models").status
    first = site.admin.post(f"{KEYS}/{answer.json['id']}/revoke", {})
    again = site.admin.post(f"{KEYS}/{answer.json['id']}/revoke", {})
    assert first.json["revoked_us"] == again.json["revoked_us"] is not None
    assert (401, "invalid_api_key") == (
        other.get("/v1/models").status,
        other.get("/v1/models").error["code"],
    )


def test_keys_from_elsewhere_keep_working(site: Web) -> None:
    """By value or by SHA-256: the caller goes on with the key that it has."""
    for number, form in enumerate(("value", "sha256")):
        value = f"sk-from-another-relay-{number:04}"
        digest = hashlib.sha256(value.encode()).hexdigest()
        given = {"name": "old", form: value if form == "value" else digest}
        answer = site.admin.post(f"{KEYS}/import", given)
        assert 201 == answer.status, answer.text
        assert value not in answer.text
        assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/models").status
        again = site.admin.post(f"{KEYS}/import", given)
        assert (409, "already_exists") == (again.status, again.error["code"])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "value"),
        ({"value": "sk-short"}, "value"),
        ({"value": "pk-0123456789abcdefghij"}, "value"),
        ({"value": "sk-0123456789abc\ndefghij"}, "value"),
        ({"sha256": "00"}, "sha256"),
        ({"value": "sk-0123456789abcdefghij", "sha256": "0" * 64}, "value"),
    ],
)
def test_what_is_no_key_is_not_imported(site: Web, given: dict[str, str], param: str) -> None:
    """Exactly one of value and sha256, and of the right shape."""
    answer = site.admin.post(f"{KEYS}/import", {"name": "x", **given})
    assert (400, param) == (answer.status, answer.error["param"])


def test_keys_are_listed_in_pages(site: Web) -> None:
    """Following `after` shows each key once."""
    for _ in range(3):
        made(site)
    found, after = [], ""
    while True:
        part = site.admin.get(f"{KEYS}?limit=2&after={after}").json
        found += [each["id"] for each in part["data"]]
        if not part["has_more"]:
            break
        after = found[-1]
    assert [each.id for each in site.parts.store.keys.all()] == found


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x"])
def test_pages_have_a_size_limit(site: Web, limit: str) -> None:
    """Nobody reads a whole table in one answer."""
    answer = site.admin.get(f"{KEYS}?limit={limit}")
    assert (400, "limit") == (answer.status, answer.error["param"])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/none"), ("PATCH", "/none"), ("POST", "/none/revoke"), ("GET", "/import")],
)
def test_an_unknown_key_is_a_404(site: Web, method: str, path: str) -> None:
    """By whatever operation; `import` is no key (only POST means the import)."""
    answer = site.admin.ask(method, KEYS + path, b"{}")
    assert answer.status == (405 if path == "/import" else 404)


def test_rotation_overlaps(site: Web) -> None:
    """A new value, shown once; the old one works for the overlap, or not at all."""
    answer = made(site)
    key_id, first = answer.json["id"], answer.json["value"]
    second = site.admin.post(f"{KEYS}/{key_id}/rotate", {}).json
    assert second["previous_until_us"] > time.time_ns() // 1000 + 86_000_000_000
    third = site.admin.post(f"{KEYS}/{key_id}/rotate", {"overlap_s": 0}).json
    statuses = [
        Endpoint(site.user.base_url, value, MODEL).get("/v1/models").status
        for value in (first, second["value"], third["value"])
    ]
    assert [401, 401, 200] == statuses
    again = site.admin.post(f"{KEYS}/{key_id}/rotate", {"overlap_s": 60}).json
    assert 200 == Endpoint(site.user.base_url, third["value"], MODEL).get("/v1/models").status
    site.admin.post(f"{KEYS}/{key_id}/revoke", {})
    assert 401 == Endpoint(site.user.base_url, again["value"], MODEL).get("/v1/models").status
    assert 400 == site.admin.post(f"{KEYS}/{key_id}/rotate", {}).status, "revoked for good"


def test_a_rotation_that_is_sent_again_is_done_once(site: Web) -> None:
    """Where it names what it replaces: a second one would end the value before at once, which was
    to stay valid, and the first one's answer would be of no use any more."""
    answer = made(site)
    key_id, first = answer.json["id"], answer.json["value"]
    asked = {"replaces": answer.json["tail"]}
    second = site.admin.post(f"{KEYS}/{key_id}/rotate", asked).json
    again = site.admin.post(f"{KEYS}/{key_id}/rotate", asked)
    assert (409, "changed_meanwhile") == (again.status, again.error["code"])
    for value in (first, second["value"]):
        assert 200 == Endpoint(site.user.base_url, value, MODEL).get("/v1/models").status
    asked = {"replaces": second["tail"]}
    assert 200 == site.admin.post(f"{KEYS}/{key_id}/rotate", asked).status


def test_a_team_admin_belongs_to_what_it_runs(site: Web) -> None:
    """To a team or an organisation that exists; nobody else's key needs one."""
    organisation = site.admin.post("/admin/v1/organisations", {"name": "run"}).json["id"]
    user = site.admin.post("/admin/v1/users", {"name": "u", "parent": organisation}).json["id"]
    assert [400, 400, 404, 201] == [
        made(site, role="team_admin", owner=owner).status
        for owner in (None, user, "gone", organisation)
    ]
    assert 404 == made(site, owner="gone").status


def test_key_limits(site: Web) -> None:
    """Tokens a minute, requests at once, addresses and budgets go in and come out."""
    budget = {"amount": 5, "unit": "nano_usd", "span": "week", "zone": "Europe/Berlin"}
    fields = {"tokens_per_minute": 9, "requests_at_once": 2, "networks": ["::1"]}
    key_id = made(site, **fields, budgets=[budget]).json["id"]
    seen = site.admin.get(f"{KEYS}/{key_id}").json
    assert {**fields, "budgets": [budget]} == {name: seen[name] for name in (*fields, "budgets")}
    assert 7 == patch(site, key_id, b'{"tokens_per_minute": 7}').json["tokens_per_minute"]
    assert [budget] == patch(site, key_id, b'{"networks": []}').json["budgets"]
    answer = patch(site, key_id, b'{"networks": ["x.example"]}')
    assert (400, "networks") == (answer.status, answer.error["param"])
