"""Signing in and out, and what the cookie is like."""

import pytest

from tests.fakes.web_parts import USER_KEY, Web
from tests.web.console.browsing import form_of, mark_of, visitor


def test_sign_in_and_out(site: Web) -> None:
    """The cookie is for the browser alone: scripts and other sites' pages never have it."""
    one = visitor(site, None)
    assert 'name="key"' in one.get("/console").text
    answer = one.sign_in(USER_KEY)
    assert (303, "console/usage") == (answer.status, answer.headers["location"])
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" in cookie, "the site's address is https"
    assert USER_KEY.lower() not in cookie
    assert 303 == one.get("/console").status
    out = one.post("/console/sign-out")
    assert "max-age=0" in out.headers["set-cookie"].lower()


def test_signing_out_ends_the_session(site: Web) -> None:
    """A copy of its cookie opens nothing any more, however it is written; other sessions of the
    same key go on."""
    one, other = visitor(site, USER_KEY), visitor(site, USER_KEY)
    kept = [one.cookie, one.cookie + "!", one.cookie + "="]
    assert 303 == one.post("/console/sign-out").status
    for one.cookie in kept:
        answer = one.get("/console/own")
        assert (303, "../console?to=own") == (answer.status, answer.headers["location"])
        assert 401 == one.get("/v1/models", X_Baton_CSRF=one.mark).status
    assert 200 == other.get("/console/own").status
    assert 200 == site.user.ask("GET", "/v1/models").status
    [last] = site.parts.store.changes.newest_first(at_most=1)
    assert ("session", "sign_out") == (last.kind, last.action)
    admin = visitor(site)
    assert "signed out" in admin.get("/console/audit?kind=session").text


def test_who_signs_in_goes_on(site: Web) -> None:
    """With the page that was asked for, or that a form was on; also after a wrong key."""
    one = visitor(site, None)
    sent = one.post("/console/keys/x/rotate", Referer="https://h/p/console/keys/x?done=a%26b")
    assert "../../../console?to=keys%2Fx%3Fdone%3Da%2526b&unread=1" == sent.headers["location"]
    page = one.get("/console?to=keys%2Fx%3Fdone%3Da%2526b&unread=1")
    assert "nothing of what was sent was done" in page.text
    fields = dict(form_of(page, "console", key="sk-bt-wrong"))
    again = form_of(one.post("/console", fields), "console", key=USER_KEY)
    answer = one.post("/console", again)
    assert (303, "console/keys/x?done=a%26b") == (answer.status, answer.headers["location"])
    one = visitor(site)
    assert (
        "console/keys?state=ended"
        == one.get("/console?to=keys%3Fstate%3Dended").headers["location"]
    )


@pytest.mark.parametrize("to", ["", "https://evil.test", "//evil.test/x", "../admin", "/x", "a//b"])
def test_the_way_leads_nowhere_else(site: Web, to: str) -> None:
    """What is no page of the console is not gone to."""
    answer = visitor(site, None).post("/console", {"key": USER_KEY, "to": to})
    assert (303, "console/usage") == (answer.status, answer.headers["location"])


@pytest.mark.parametrize("key", ["", "sk-bt-wrong", "sk-test-nobody-has-this-key-1", "<b>" * 50])
def test_a_wrong_key_is_told(site: Web, key: str) -> None:
    answer = visitor(site, None).sign_in(key)
    assert 401 == answer.status
    assert "not valid" in answer.text
    assert "set-cookie" not in answer.headers
    assert "<b><b>" not in answer.text


def test_a_revoked_key_ends_its_session(site: Web) -> None:
    key = site.key()
    one = visitor(site, key.key)
    assert 200 == one.get("/console/own").status
    [record] = [each for each in site.parts.store.keys.all() if each.name == "other"][-1:]
    site.parts.store.keys.revoke(record.id, "test")
    site.run(site.parts.refresh)
    answer = one.get("/console/own")
    assert 303 == answer.status
    assert "max-age=0" in answer.headers["set-cookie"].lower()


def test_the_policy_of_the_pages(site: Web) -> None:
    """No script or style in line, no other host; never framed, never cached."""
    answer = visitor(site).get("/console/own")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "DENY" == answer.headers["x-frame-options"]
    assert "no-store" == answer.headers["cache-control"]
    assert "same-origin" == answer.headers["referrer-policy"]


def test_language_and_theme_are_kept(site: Web) -> None:
    one = visitor(site, None)
    answer = one.get("/console?lang=zh")
    assert "登录控制台" in answer.text
    assert "baton_lang=zh" in answer.headers["set-cookie"]
    one.cookie = "baton_lang=zh; baton_theme=dark"
    page = one.get("/console").text
    assert 'lang="zh-CN" data-theme="dark"' in page
    one.cookie = "baton_theme=<script>"
    assert 'data-theme="auto"' in one.get("/console").text


def test_files(site: Web) -> None:
    one = visitor(site, None)
    answer = one.get("/console/static/console.css")
    assert "text/css" in answer.content_type
    assert 404 == one.get("/console/static/nothing").status


def test_a_session_asks_the_interface_only_with_its_mark(site: Web) -> None:
    """So pages of ours can complete and tokenize; a cookie alone opens nothing."""
    one = visitor(site, USER_KEY)
    assert 401 == one.get("/v1/key").status
    answer = one.get("/v1/key", **{"x-baton-csrf": mark_of(one.get("/console/own"))})
    assert (200, "user") == (answer.status, answer.json["name"])
    assert 401 == one.get("/v1/key", **{"x-baton-csrf": "0" * 32}).status
