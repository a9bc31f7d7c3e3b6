"""What every answer wears."""

import time

import pytest

from tests.fakes.web_parts import Web

APP = "https://app.test"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/docs", "/v1/models", "/metrics"])
def test_every_answer_has_a_request_id_of_its_own(site: Web, path: str) -> None:
    """Also errors and pages; two answers never share one."""
    first, second = (site.user.get(path).headers for _ in range(2))
    assert first["x-request-id"].startswith("req_")
    assert first["x-request-id"] != second["x-request-id"]
    assert "nosniff" == first["x-content-type-options"]


def test_pages_run_nothing_but_our_own_files(site: Web) -> None:
    """The policy has no inline, no eval, no other host, and no frame around us."""
    headers = site.user.get("/docs").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [word for word in ("unsafe", "http:", "https:", "data:", "*") if word in policy]
    assert ("DENY", "no-referrer") == (headers["x-frame-options"], headers["referrer-policy"])


def test_a_preflight_is_answered_before_anything_is_asked(site: Web) -> None:
    """A browser's OPTIONS carries no key, and must be answered without one."""
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST", "Authorization": None}
    answer = site.user.ask("OPTIONS", "/v1/completions", headers=asked)
    assert 204 == answer.status
    assert APP == answer.headers["access-control-allow-origin"]


def test_errors_can_be_read_across_origins_too(site: Web) -> None:
    """Without CORS headers a browser's client sees a network error instead of a 401."""
    answer = site.user.ask("GET", "/v1/models", headers={"Origin": APP, "Authorization": None})
    assert (401, APP) == (answer.status, answer.headers["access-control-allow-origin"])


def test_a_foreign_origin_gets_no_permission(site: Web) -> None:
    """Another page's preflight is an ordinary wrong method."""
    asked = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
    answer = site.user.ask("OPTIONS", "/v1/completions", headers=asked)
    assert 405 == answer.status
    assert "access-control-allow-origin" not in answer.headers


def test_each_answer_is_one_access_line(site: Web) -> None:
    """Method, path without query, status, key id and error code; never the key."""
    lines, before = site.parts.access._lines, site.parts.access._status_min
    site.parts.access._status_min = 0
    answer = site.user.get("/v1/models/none?secret=x")
    wanted = answer.headers["x-request-id"]
    deadline = time.monotonic() + 5
    while not (found := [each.line for each in list(lines) if each.line.request_id == wanted]):
        assert time.monotonic() < deadline  # the line follows the answer
    site.parts.access._status_min = before
    (line,) = found
    assert ("GET", "/v1/models/none", 404) == (line.method, line.path, line.status)
    assert (site.parts.user.id, "model_not_found") == (line.key, line.error)
    assert line.total_ms > 0
