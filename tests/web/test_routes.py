"""The table of routes: complete, closed, and every refusal in OpenAI's shape."""

import http.client
import json
import re
import urllib.parse

import pytest
from starlette.routing import Route

from baton.stores.base import StoreUnavailable
from baton.web.front import build
from baton.web.operation import Access
from baton.web.routes import ELSEWHERE, OPERATIONS, routes
from baton.web.services import Standing
from tests.asking import Answer, Endpoint
from tests.fakes.web_parts import ADMIN_KEY, USER_KEY, Parts, Web, serving

ADMIN = [one for one in OPERATIONS if one.path.startswith("/admin")]
BAD_KEY = "sk-bad-key-that-nobody-has-00"


def concrete(path: str) -> str:
    """A path that the pattern matches."""
    return re.sub(r"\{[^}]*\}", "x", path)


def assert_refused(answer: Answer, status: int, code: str) -> None:
    """In OpenAI's shape: four keys, all there."""
    assert (status, code) == (answer.status, answer.error["code"])
    assert {"message", "type", "param", "code"} == answer.error.keys()
    assert answer.headers["x-request-id"].startswith("req_")
    assert "application/json" == answer.content_type


@pytest.mark.parametrize("one", ADMIN, ids=lambda one: one.id)
@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), (BAD_KEY, 401), ("", 401), (USER_KEY, 403)]
)
def test_no_admin_route_opens_without_an_admin_key(
    site: Web, one: object, key: str | None, status: int
) -> None:
    """Every admin operation × {no key, a bad one, an empty one, a user's}: refused before its
    body.
    """
    assert one in ADMIN
    header = {"Authorization": None if key is None else f"Bearer {key}"}
    answer = site.user.ask(one.method, concrete(one.path), b"not json", header)
    assert status == answer.status
    assert {"message", "type", "param", "code"} == answer.error.keys()
    assert BAD_KEY not in answer.text


def test_admin_routes_declare_admin_and_only_they_do() -> None:
    """Access follows from the declaration; the path and the declaration never disagree."""
    assert len(ADMIN) >= 16
    roles = {Access.ADMIN, Access.REPORTS, Access.TEAM}
    assert roles == {one.access for one in ADMIN}
    assert set(ADMIN) == {one for one in OPERATIONS if one.access in roles}


def test_open_routes_are_those_that_were_decided_to_be() -> None:
    """A route that forgot its key would show up here."""
    expected = {"/healthz", "/readyz", "/health", "/metrics", "/docs", "/docs/static/{file}", "/"}
    expected |= {"/docs/{tag}/{operation}", "/docs/capabilities", "/openapi/relay.json"}
    expected |= {"/docs/guide/{name}", "/docs/search.json"}
    opened = {one.public_path for one in OPERATIONS if one.access is Access.OPEN}
    assert expected == {path for path in opened if "generated" not in path}


def test_every_operation_is_routed_once() -> None:
    """One route per path, no operation lost, no two with the same id, method and path."""
    paths = [route.path for route in routes(OPERATIONS)]
    assert len(paths) == len(set(paths))
    assert {one.path for one in OPERATIONS} <= set(paths)
    assert len(OPERATIONS) == len({one.id for one in OPERATIONS})
    assert len(OPERATIONS) == len({(one.method, one.path) for one in OPERATIONS})
    assert all(isinstance(route, Route) for route in routes(OPERATIONS))


@pytest.mark.parametrize("path", ["/v2/completions", "/v1", "/admin", "/m//v1/models/x", "/%00"])
def test_an_unknown_path_is_a_404_in_openai_s_shape(site: Web, path: str) -> None:
    """Whatever is asked for, the answer is JSON with a request id."""
    assert_refused(site.user.get(path), 404, "unknown_url")


@pytest.mark.parametrize(
    "path",
    [
        *ELSEWHERE,
        "/v1/chat/completions",
        "/openai/deployments/tiny/completions?api-version=2024-02-01",
        "/v1/deployments/tiny/completions",
        "/beta/completions",
        "/api/tags",
        "/m/tiny/v1/chat/completions",
        "/m/org/tiny/completions",
    ],
)
def test_other_interfaces_are_told_what_baton_is_for(site: Web, path: str) -> None:
    """A client of chats, of Azure, of Ollama … gets a 404 that names the endpoint it should use,
    also where its base address fixes the model."""
    answer = site.user.post(path, {})
    assert_refused(answer, 404, "unknown_url")
    assert "POST https://relay.test/base/v1/completions" in answer.error["message"]


@pytest.mark.parametrize(
    "path", ["/completions", "/v1/v1/completions", "//v1/completions", "/v1/completions/"]
)
def test_a_wrong_base_address_is_told_the_right_one(site: Web, path: str) -> None:
    """A library whose base lacks /v1, or has it twice, gets a 404 that names the whole address."""
    answer = site.user.post(path, {})
    assert_refused(answer, 404, "unknown_url")
    assert "POST https://relay.test/base/v1/completions" in answer.error["message"]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/models/", "/v1/models"),
        ("/v1//models", "/v1/models"),
        ("/v1/key/", "/v1/key"),
        ("/m//v1/models", "/m/v1/models"),
        ("/m/tiny//v1/models", "/m/tiny/v1/models"),
        ("/m//tiny/v1/key", "/m/tiny/v1/key"),
        ("/m/tiny/v1/models/", "/m/tiny/v1/models"),
        ("/healthz/", "/healthz"),
        ("//healthz", "/healthz"),
    ],
)
def test_a_slash_too_many_is_told(site: Web, path: str, meant: str) -> None:
    """At the end or twice: a 404 that names the path without it, where there is one. No model of no
    name is looked for, and no list is empty for it."""
    answer = site.user.get(path)
    assert_refused(answer, 404, "unknown_url")
    told = f"Is GET https://relay.test/base{meant} meant? A slash too many is another path."
    assert (meant != "/m/v1/models") == (told in answer.error["message"])


def test_a_completion_at_no_model_is_no_wrong_method(site: Web) -> None:
    """POST is what it takes."""
    assert_refused(site.user.post("/m//v1/completions", {}), 404, "unknown_url")


@pytest.mark.parametrize("path", ["/docs/", "/console/", "/docs/guide/limits/"])
def test_a_slash_behind_a_page_is_taken_away(site: Web, path: str) -> None:
    """By a relative address, so that a path in front of Baton stays; no API path has it."""
    answer = site.user.get(path)
    assert 308 == answer.status
    assert path[:-1] == urllib.parse.urljoin(path, answer.headers["location"])
    for other in ("/v1/key/", "/console//"):
        assert_refused(site.user.get(other), 404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/completions", "POST"),
        ("GET", "/m/x/v1/completions", "POST"),
        ("PUT", "/v1/models", "GET, HEAD"),
        ("DELETE", "/admin/v1/keys", "GET, HEAD, POST"),
        ("PUT", "/admin/v1/upstreams/x", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/docs", "GET, HEAD"),
        ("OPTIONS", "/tokenize", "POST"),
    ],
)
def test_a_wrong_method_is_told_all_right_ones(
    site: Web, method: str, path: str, allow: str
) -> None:
    """405 with Allow, also where several operations share a path."""
    answer = site.user.ask(method, path)
    assert_refused(answer, 405, "method_not_supported")
    assert allow == answer.headers["allow"]


def test_head_answers_as_get_without_a_body(site: Web) -> None:
    """Probes may use HEAD."""
    answer = site.user.ask("HEAD", "/healthz")
    assert (200, b"") == (answer.status, answer.raw)


def test_our_own_fault_is_a_500_that_says_nothing_but_the_request_id(tmp_path: object) -> None:
    """A bug is answered, not leaked: no traceback, no message of the exception."""
    parts = Parts(tmp_path)  # type: ignore[arg-type]

    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    parts.numbers = broken  # type: ignore[method-assign,assignment]
    with serving(build(parts.services())) as (port, _):
        answer = Endpoint(f"http://127.0.0.1:{port}", ADMIN_KEY, "x").get("/metrics")
    parts.store.close()
    assert_refused(answer, 500, "internal_error")
    assert answer.headers["x-request-id"] in answer.error["message"]
    assert "secret detail" not in answer.text


def test_a_lost_store_is_a_503(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is noticed, with a time to come back and without the database's words."""

    async def lost(*_asked: object) -> Standing:
        raise StoreUnavailable("disk I/O error: /secret/path")

    monkeypatch.setattr(site.parts, "standing", lost)
    answer = site.user.get("/v1/key")
    assert_refused(answer, 503, "overloaded")
    assert "2" == answer.headers["retry-after"]
    assert "/secret/path" not in answer.text


def test_a_hostile_path_is_only_ever_json_text(site: Web) -> None:
    """What a caller typed comes back escaped, in a body that no browser takes for a page."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/%3Cscript%3Ealert(1)%3C/script%3E%0d%0aX-Evil:1")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert "<script>" in body["error"]["message"]
    assert "nosniff" == response.headers["x-content-type-options"]
    assert response.headers["x-evil"] is None
