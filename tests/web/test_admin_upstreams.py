"""Upstreams by the admin API; their provider keys never come back."""

import json

import pytest

from tests.asking import Answer
from tests.fakes.web_parts import Web

pytestmark = pytest.mark.usefixtures("_no_upstreams_left")
UPSTREAMS = "/admin/v1/upstreams"
SECRET = "provider-secret-0123456789"
BODY = {
    "name": "gpu-1",
    "url": "http://127.0.0.1:8000/v1",
    "dialect": "vllm",
    "models": {"big": "org/big"},
    "secret": SECRET,
}


def patch(site: Web, **changes: object) -> Answer:
    return site.admin.ask("PATCH", f"{UPSTREAMS}/gpu-1", json.dumps(changes).encode())


def test_the_life_of_an_upstream(site: Web) -> None:
    """Created, planned with at once, changed, removed; the secret only ever goes in."""
    answers = [site.admin.post(UPSTREAMS, BODY)]
    assert (201, True) == (answers[0].status, answers[0].json["has_secret"])
    assert SECRET == site.parts.catalogue.upstreams["gpu-1"].secret
    answers.append(site.admin.post(UPSTREAMS, BODY))
    assert (409, "already_exists") == (answers[-1].status, answers[-1].error["code"])
    answers.append(patch(site, weight=5, url="https://gpu.test/v1"))
    assert (5, "https://gpu.test/v1", "vllm", True) == tuple(
        answers[-1].json[name] for name in ("weight", "url", "dialect", "has_secret")
    )
    answers.append(patch(site))
    answers.append(site.admin.get(f"{UPSTREAMS}/gpu-1"))
    assert answers[-1].json == answers[-2].json
    answers.append(site.admin.get(UPSTREAMS))
    assert ["gpu-1"] == [each["name"] for each in answers[-1].json["data"]]
    live = answers[-1].json["data"][0]["live"]
    assert ("healthy", 0, None) == (live["state"], live["in_flight"], live["first_token_p50_ms"])
    answers.append(site.admin.get("/admin/v1/changes?limit=1000"))
    assert "vllm" in answers[-1].text
    assert patch(site, secret=None).json["has_secret"] is False
    answers.append(site.admin.ask("DELETE", f"{UPSTREAMS}/gpu-1"))
    assert {"id": "gpu-1", "deleted": True} == answers[-1].json
    assert {} == site.parts.catalogue.upstreams
    assert 404 == site.admin.get(f"{UPSTREAMS}/gpu-1").status
    assert not [answer for answer in answers if SECRET in answer.text]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Has Spaces"),
        ("name", "../x"),
        ("url", "ftp://gpu.test"),
        ("url", "ftp://a"),
        ("url", ""),
        ("url", "http://user:pass@gpu.test/v1"),
        ("url", "http://0x7f.1/v1"),
        ("url", "http://gpu.test/\r\nX: y"),
        ("dialect", "telnet"),
        ("models", {"": "x"}),
        ("models", []),
        ("secret", "two words"),
        ("secret", "line\r\nInjected: yes"),
        ("weight", -1),
        ("total_timeout_s", 0),
        ("fields", ["a b"]),
        ("no_such", 1),
    ],
)
def test_a_bad_field_is_named(site: Web, field: str, value: object) -> None:
    """What could not be called, or could smuggle a header, is never stored; nor is it told back."""
    answer = site.admin.post(UPSTREAMS, {**BODY, field: value})
    assert (400, field) == (answer.status, answer.error["param"])
    assert SECRET not in answer.text
    assert field != "url" or "the url" in answer.error["message"].lower(), "in words"


def test_a_page_follows_what_is_gone(site: Web) -> None:
    """Who removes what a page shows goes on with the next one."""
    for number in range(5):
        assert 201 == site.admin.post(UPSTREAMS, {**BODY, "name": f"page-{number}"}).status
    found, after, more = [], "page-", True
    while more:
        part = site.admin.get(f"{UPSTREAMS}?limit=2&after={after}").json
        for name in (each["name"] for each in part["data"]):
            assert 200 == site.admin.ask("DELETE", f"{UPSTREAMS}/{name}").status
            found.append(name)
        after, more = found[-1], part["has_more"]
    assert [f"page-{number}" for number in range(5)] == found


def test_the_embedded_model_s_name_is_taken(site: Web) -> None:
    """An upstream of that name would answer for the engine."""
    answer = site.admin.post(UPSTREAMS, {**BODY, "name": "embedded"})
    assert (409, "name") == (answer.status, answer.error["param"])


@pytest.mark.parametrize("changes", [{"url": "nowhere"}, {"dialect": "telnet"}, {"name": "other"}])
def test_a_change_is_checked_as_a_creation(site: Web, changes: dict[str, str]) -> None:
    """A name cannot change; the rest must be what could be created."""
    answer = patch(site, **changes)
    assert (400, next(iter(changes))) == (answer.status, answer.error["param"])


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_upstream_is_a_404(site: Web, method: str) -> None:
    """By whatever operation."""
    body = b'{"weight": 1}' if method == "PATCH" else None
    assert 404 == site.admin.ask(method, f"{UPSTREAMS}/none", body).status


def test_templates_are_those_that_there_are(site: Web) -> None:
    """A name that Baton does not know would be ignored: it is refused."""
    body = {**BODY, "name": "filling", "fim": {"*": "qwen"}}
    assert {"*": "qwen"} == site.admin.post(UPSTREAMS, body).json["fim"]
    changed = change(site, "filling", {"fim": {"m": "codellama"}})
    assert {"m": "codellama"} == changed.json["fim"]
    assert 400 == change(site, "filling", {"fim": {"*": "gwen"}}).status


def test_vocabularies(site: Web) -> None:
    """Files by model; what is no GGUF file by its name is refused."""
    body = {**BODY, "name": "reading", "vocabularies": {"*": "qwen.gguf"}}
    assert {"*": "qwen.gguf"} == site.admin.post(UPSTREAMS, body).json["vocabularies"]
    changed = change(site, "reading", {"vocabularies": {"m": "/models/m.gguf"}})
    assert {"m": "/models/m.gguf"} == changed.json["vocabularies"]
    assert 400 == change(site, "reading", {"vocabularies": {"*": "/etc/passwd"}}).status


def test_how_a_chat_continues_is_checked_against_its_dialect(site: Web) -> None:
    """When it is added, and when either of the two changes; what would be ignored is refused."""
    chat = {**BODY, "dialect": "anthropic", "continuation": {"*": "prefill"}}
    assert {"*": "prefill"} == site.admin.post(UPSTREAMS, chat).json["continuation"]
    assert {} == patch(site, continuation={}).json["continuation"]
    assert 200 == patch(site, continuation={"org/big": "instruct"}).status
    for refused in (
        patch(site, continuation={"org/big": "partial"}),
        patch(site, dialect="vllm"),
        site.admin.post(UPSTREAMS, {**BODY, "name": "x", "continuation": {"*": "prefill"}}),
    ):
        assert (400, "continuation") == (refused.status, refused.error["param"])
    assert 400 == patch(site, continuation={"org/big": "oddly"}).status


def change(site: Web, name: str, changes: dict[str, object]) -> Answer:
    return site.admin.ask("PATCH", f"{UPSTREAMS}/{name}", json.dumps(changes).encode())


def test_options_go_in_and_their_secrets_stay(site: Web) -> None:
    """Keys and header values are counted and named, never told; proxy and overrides are shown."""
    options = {
        "more_secrets": ["second-secret-01234"],
        "headers": {"X-Org": "header-secret-01234"},
        "proxy": "http://127.0.0.1:3128",
        "overrides": {"force": {"top_k": 1}, "forbid": ["seed"]},
    }
    made = site.admin.post(UPSTREAMS, {**BODY, "name": "opt", **options})
    assert made.status == 201
    assert (made.json["more_secrets_count"], made.json["header_names"]) == (1, ["X-Org"])
    assert made.json["proxy"] == options["proxy"]
    assert made.json["overrides"] == options["overrides"]
    for answer in (made, site.admin.get(UPSTREAMS), change(site, "opt", {"weight": 4})):
        for secret in ("second-secret", "header-secret", SECRET):
            assert secret not in answer.text
    kept = site.parts.catalogue.upstreams["opt"]
    assert kept.headers == options["headers"]
    assert list(kept.more_secrets) == options["more_secrets"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://169.254.169.254/latest"},
        {"url": "http://metadata.google.internal"},
        {"url": "http://[::ffff:169.254.169.254]"},
        {"url": "http://127.0.0.1", "allow_private": False},
        {"proxy": "http://169.254.169.254:80"},
        {"proxy": "http://user:pass@127.0.0.1:80"},
        {"headers": {"Host": "x"}},
        {"headers": {"X-A": "a\r\nb"}},
        {"overrides": {"force": {"model": "x"}}},
        {"overrides": {"forbid": ["top_k"]}},
    ],
)
def test_what_must_not_be_configured(site: Web, wrong: dict[str, object]) -> None:
    """At creation and by a change: 400, and nothing is stored."""
    body = {**BODY, "name": "judged"}
    site.admin.ask("DELETE", f"{UPSTREAMS}/judged")
    assert site.admin.post(UPSTREAMS, {**body, **wrong}).status == 400
    assert site.admin.get(f"{UPSTREAMS}/judged").status == 404
    assert site.admin.post(UPSTREAMS, body).status == 201
    assert change(site, "judged", wrong).status == 400
    assert site.admin.get(f"{UPSTREAMS}/judged").json["url"] == BODY["url"]
