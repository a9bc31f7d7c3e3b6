"""Base URLs: what is understood, what is refused."""

import pytest

from baton.upstreams.endpoint import parse


@pytest.mark.parametrize(
    ("url", "authority", "prefix", "query"),
    [
        ("https://api.openai.com/v1", "api.openai.com", "/v1", ""),
        ("https://api.openai.com/v1/", "api.openai.com", "/v1", ""),
        ("http://gpu:8000", "gpu:8000", "/std", ""),
        ("http://gpu:8000/", "gpu:8000", "/std", ""),
        ("http://gpu:80/a/b?api-version=1", "gpu", "/a/b", "api-version=1"),
        ("HTTPS://Gpu:443", "gpu", "/std", ""),
        ("http://[::1]:9/v1", "[::1]:9", "/v1", ""),
        ("https://[2606:4700::1]/v1", "[2606:4700::1]", "/v1", ""),
    ],
)
def test_urls_are_taken_apart(url: str, authority: str, prefix: str, query: str) -> None:
    """Host header, prefix and query; a URL without a path gets the dialect's."""
    found = parse(url, default_prefix="/std")
    assert (found.authority, found.prefix, found.query) == (authority, prefix, query)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://a/", "http"),
        ("file:///etc/passwd", "http"),
        ("gopher://a", "http"),
        ("//a/v1", "http"),
        ("a.example/v1", "http"),
        ("http://user:secret@a/", "credentials"),
        ("http://a@b/", "credentials"),
        ("http:///v1", "no host"),
        ("http://a/v1#x", "fragment"),
        ("http://a/v 1", "percent-encoded"),
        ("http://a/\r\nX: y", "percent-encoded"),
        ("http://bücher.example/", "percent-encoded"),
        ("http://2130706433/", "."),
        ("http://0x7f.1/", "."),
        ("http://a:99999/", "[Pp]ort"),
        ("http://a:b/", "[Pp]ort"),
        ("http://[::1/", "."),
        ("http://[fe80::1%25eth0]/", "."),
    ],
)
def test_bad_urls_are_refused_with_a_reason(url: str, reason: str) -> None:
    """ValueError, which says what is wrong and never repeats credentials."""
    with pytest.raises(ValueError, match=reason) as caught:
        parse(url)
    assert "secret" not in str(caught.value)
