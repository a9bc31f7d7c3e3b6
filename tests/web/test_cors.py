"""The one policy of who may call from a browser."""

from baton.web.cors import Cors

APP = b"https://app.test"


def test_nobody_by_default() -> None:
    """Without the setting no header is added, whatever the origin."""
    cors = Cors.of("")
    assert () == cors.headers(APP) == cors.preflight(APP, b"")


def test_only_named_origins() -> None:
    """A named origin is told so, another one is not; caches keep the two apart."""
    cors = Cors.of(" https://app.test/ , https://b.test")
    assert (b"access-control-allow-origin", APP) in cors.headers(APP)
    assert ((b"vary", b"origin"),) == cors.headers(b"https://evil.test")
    assert () == cors.preflight(b"https://evil.test", b"")
    assert () == cors.headers(None)


def test_everybody() -> None:
    """`*` answers any origin with `*`, and never allows credentials."""
    headers = dict(Cors.of("*").preflight(b"null", b"x-baton-strict"))
    assert b"*" == headers[b"access-control-allow-origin"]
    assert b"x-baton-strict" == headers[b"access-control-allow-headers"]
    assert b"access-control-allow-credentials" not in headers


def test_what_clients_need_is_exposed() -> None:
    """A browser's client can read the request id, the limits and the fills."""
    exposed = dict(Cors.of("*").headers(APP))[b"access-control-expose-headers"]
    for name in (
        b"x-request-id",
        b"retry-after-ms",
        b"x-ratelimit-limit-requests",
        b"x-baton-fills",
    ):
        assert name in exposed
