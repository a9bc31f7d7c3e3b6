"""Forms: what they hold, and how much of it."""

import pytest
from starlette.requests import Request

from baton.errors import RequestError
from baton.web.console.forms import FIELDS_MAX, FORM_BYTES_MAX, Form, check_origin
from tests.fakes.web_parts import Web
from tests.web.console.browsing import visitor


def test_fields() -> None:
    form = Form([("a", " 1 "), ("b", "2"), ("b", "3")])
    assert ("1", "3", ["2", "3"], "") == (
        form.text("a"),
        form["b"],
        form.several("b"),
        form.text("none"),
    )
    assert {"a", "b"} == set(form)
    assert 2 == len(form)


def test_what_its_page_showed() -> None:
    assert Form([("a", "1")]).shown() is None
    shown = Form([("a", "1"), ("was.a", "2"), ("was.b", "3"), ("was.b", "4")]).shown()
    assert shown is not None
    assert ({"a": "2", "b": "4"}, ["3", "4"]) == (dict(shown), shown.several("b"))


def test_limits(site: Web) -> None:
    """More bytes or fields than a page of ours sends are refused."""
    one = visitor(site)
    assert 413 == one.post("/console/sign-out", {"a": "x" * FORM_BYTES_MAX}).status
    assert 400 == one.post("/console/sign-out", [("a", "")] * (FIELDS_MAX + 1)).status


def test_the_address_of_the_settings_is_ours_too(site: Web) -> None:
    """Behind a proxy that names another host."""
    one = visitor(site)
    assert 303 == one.post("/console/sign-out", Origin="https://relay.test").status


def test_a_browser_that_says_same_origin_is_believed(site: Web) -> None:
    """It sets the header by itself; no page can."""
    one = visitor(site)
    answer = one.post("/console/sign-out", Origin=None, Sec_Fetch_Site="same-origin")
    assert 303 == answer.status


def test_an_origin_that_is_none_is_another_sites(site: Web) -> None:
    """Also one that cannot be read, and one at our host by another scheme than a page's."""
    one = visitor(site)
    host = one.endpoint.base_url.removeprefix("http://")
    for origin in ("http://[", "null", "http://", "", host, f"ftp://{host}", "http://other.test"):
        assert 403 == one.post("/console/sign-out", Origin=origin).status, origin
    assert 303 == one.post("/console/sign-out", Origin=f"https://{host}").status


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://Ops.Example.com:443/b/", "https://ops.example.com"),
        ("http://u:p@ops.test:80", "http://ops.test"),
        ("https://ops.test:80", "https://ops.test:80"),
        ("http://ops.test:8080", "http://ops.test:8080"),
        ("HTTPS://[::A]:443", "https://[::a]"),
        ("https://ключ.test", "https://xn--j1ac0b1a.test"),
    ],
)
def test_the_origin_of_an_address_is_as_browsers_send_it(address: str, origin: str) -> None:
    """Behind a proxy that passes no Host on, however the setting writes it."""
    headers = [(b"host", b"10.0.0.7:8080"), (b"origin", origin.encode())]
    request = Request({"type": "http", "headers": headers})
    check_origin(request, address)
    with pytest.raises(RequestError, match="another site"):
        check_origin(request, "https://other.test")
