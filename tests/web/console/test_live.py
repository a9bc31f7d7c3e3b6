"""Numbers by the second: pushed until the session ends, and to so many pages only."""

import http.client

import pytest

from tests.fakes.web_parts import Web
from tests.web.console.browsing import Visitor, visitor

EVENTS_S = 10.0


def stream(one: Visitor) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(one.endpoint.host, one.endpoint.port, timeout=EVENTS_S)
    connection.request("GET", "/console/overview/live", headers={"Cookie": one.cookie})
    return connection, connection.getresponse()


def test_a_page_is_told_and_ends_with_its_key(site: Web) -> None:
    key = site.key(role="admin")
    one = visitor(site, key.key)
    connection, answer = stream(one)
    assert "text/event-stream" in str(answer.getheader("content-type"))
    assert answer.readline().startswith(b'data: {"live":')
    [record] = [each for each in site.parts.store.keys.all() if each.role == "admin"][-1:]
    site.parts.store.keys.revoke(record.id, "test")
    site.run(site.parts.refresh)
    rest = answer.read()
    assert rest.count(b"\n\n") <= 3, "it ended within two ticks"
    connection.close()


def test_it_ends_when_the_worker_stops(site: Web) -> None:
    connection, answer = stream(visitor(site))
    answer.readline()
    ready = site.parts.ready
    try:
        site.parts.ready = type(ready)(
            status="unready", store="ok", engine="ok", upstreams=0, draining=True
        )
        answer.read()
    finally:
        site.parts.ready = ready
    connection.close()


def test_only_so_many_pages(site: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are told to come back; the count falls when a page goes."""
    one = visitor(site)
    streams = [stream(one) for _ in range(site.parts.settings.console_live_max)]
    assert 503 == one.get("/console/overview/live").status
    for connection, _ in streams:
        connection.close()
