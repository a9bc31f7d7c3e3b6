"""By which names Baton may be asked for, however they are written."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.http import shared
from baton.http.exchange import Exchange
from baton.http.hosts import Hosts, allowed, bare
from baton.telemetry.diary import fields_of
from tests.http.serving import TEXT, Listener, echo, listening, post, received, rest

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=8)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
PORT = st.sampled_from(["", ":", ":80", ":8080", ":65535"])
DOT = st.sampled_from(["", "."])
CASE = st.sampled_from([str.lower, str.upper, str.title])


@given(st.lists(NAME, max_size=3), NAME, PORT, DOT, CASE)
def test_a_name_however_it_is_written(
    listed: list[str], name: str, port: str, dot: str, case: Callable[[str], str]
) -> None:
    """Neither case nor port nor a dot at the end, in the list or in the request, changes whether it
    matches; nobody else's name does."""
    known = name in [*listed, "localhost", "127.0.0.1"]
    assert known == Hosts(listed).have(f"{case(name)}{dot}{port}")
    assert Hosts([*listed, f"{case(name)}{dot}"]).have(f"{name}{port}")
    assert not Hosts([f"{name}.x"], [f"x.{name}"]).have(f"y.{name}{dot}{port}")


@given(NAME, NAME, PORT, DOT, CASE)
def test_what_ends_so(
    domain: str, below: str, port: str, dot: str, case: Callable[[str], str]
) -> None:
    """`*.domain` is all names below it, and neither itself nor a longer word."""
    hosts = Hosts([f"*.{case(domain)}{dot}"])
    assert hosts.have(f"{below}.{case(domain)}{dot}{port}")
    assert (domain in ("localhost", "127.0.0.1")) == hosts.have(f"{domain}{port}")
    assert not hosts.have(f"{below}x{domain}{port}")
    assert not hosts.have(f"{below}.{domain}.longer-than-a-label{port}")


@given(st.text(max_size=30))
def test_nothing_else_is_a_host(text: str) -> None:
    """Whatever it is asked with: what has no host has no place on the list, and nothing raises."""
    hosts = Hosts(["a.test", "*.b.test", "10.0.0.0/8"])
    assert not hosts.have(f"a.test{text}@")
    assert not hosts.have(f"@{text}a.test")
    assert bare(text) == bare(text).lower()


@pytest.mark.parametrize(
    ("listed", "host", "known"),
    [
        ("[::1]", "[::1]:80", True),
        ("2001:DB8::1", "[2001:db8::1]", True),
        ("[2001:db8::1]", "2001:db8::1", False),
        ("10.0.0.1", "10.0.0.1:8080", True),
        ("10.0.0.0/8", "10.1.2.3:8080", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3.example.org", False),
        ("fd00::/8", "[fd12::1]:1", True),
        ("fd00::/8", "[:::]", False),
        ("a.test", "localhost:8080", True),
        ("a.test", "127.0.0.1", True),
        ("a.test", "[::1]", True),
        ("a.test", "relay.example.org", True),
        ("a.test", "0.0.0.0:8080", False),
        ("a.test", "localhost.a.test", False),
        ("a.test", "", False),
        ("a.test", ".", False),
        ("a.test", "a.test:80:80", False),
        ("a.test", "a.test..", False),
        ("a.test", "a.test\n", False),
        ("*.a.test", ".a.test", False),
        (" a.test , ,b.test ", "b.test", True),
    ],
)
def test_hosts(listed: str, host: str, known: bool) -> None:
    """Addresses as they are written, networks, and this machine's own names beside any list."""
    hosts = allowed(listed, ("Relay.Example.org", "10.9.9.9"))
    assert hosts is not None
    assert known == hosts.have(host)


def test_a_name_that_is_not_ascii() -> None:
    """An operator's own one is met as clients send it; what none can send is met by nobody."""
    hosts = Hosts([], ["中继.example", f"{'é' * 70}.example", ""])
    assert hosts.have("xn--fiqv10j.example")
    assert not hosts.have("中继.example")
    assert not hosts.have("")


def test_no_list() -> None:
    """Any will do."""
    assert allowed("") is None
    assert allowed(" , ") is None


def asked(listener: Listener, head: bytes, body: bytes = b"!") -> bytes:
    """The first line of what such a request is answered."""
    with listener.connect() as client:
        client.sendall(
            head + b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
        )
        return rest(client).partition(b"\r\n")[0]


def test_on_the_wire() -> None:
    """Who asks by another name is told in OpenAI's shape and reaches no room, nor any route; probes
    may. Headers that say otherwise are not believed."""
    ran: list[bytes] = []

    async def room(exchange: Exchange) -> None:
        ran.append(exchange.body)
        exchange.respond(200, TEXT, b"done")

    completion, get = b"POST /v1/completions HTTP/1.1\r\n", b"GET %b HTTP/1.1\r\n"
    forwarded = b"X-Forwarded-Host: a.test\r\nForwarded: host=a.test\r\n"
    refused = b"HTTP/1.1 421 Misdirected Request"
    with listening(room, allowed_hosts="a.test") as listener:
        assert refused == asked(listener, completion + b"Host: b.test\r\n" + forwarded)
        assert refused == asked(listener, get % b"/docs" + b"Host: b.test\r\n" + forwarded, b"")
        assert refused == asked(listener, b"POST /v1/completions HTTP/1.0\r\n")
        assert refused == asked(listener, b"POST http://b.test/infill HTTP/1.1\r\nHost: a.test\r\n")
        twice = completion + b"Host: a.test\r\nHost: b.test\r\n"
        assert b"HTTP/1.1 400 Bad Request" == asked(listener, twice)
        assert b"HTTP/1.1 400 Bad Request" == asked(listener, completion)
        assert [] == ran
        for path in (b"/healthz", b"/readyz", b"/health"):
            assert b"HTTP/1.1 200 OK" == asked(listener, get % path + b"Host: 10.0.0.7:1\r\n", b"")
        assert b"HTTP/1.1 200 OK" == asked(listener, get % b"/docs" + b"Host: A.test:1\r\n", b"")
        assert b"HTTP/1.1 200 OK" == asked(listener, completion + b"Host: 127.0.0.1:8080\r\n")
        assert [b"!"] == ran


def test_an_operator_sees_who_is_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is counted; the log names the first, and then one a minute, with how many there were."""
    get = b"GET /docs HTTP/1.1\r\nHost: "
    with listening(echo, allowed_hosts="a.test") as listener:
        for host in (b"a.test", b"b.test", b"c.test"):
            asked(listener, get + host + b"\r\n", b"")
        [first] = [record for record in caplog.records if record.name == "baton"]
        assert ("WARNING", "host refused") == (first.levelname, first.getMessage())
        assert "'b.test'" in str(fields_of(first)["reason"])
        monkeypatch.setattr(shared, "MISDIRECTED_TOLD_S", 0.0)
        asked(listener, get + b"d.test\x9b2J\r\n", b"")
        ours = [record for record in caplog.records if record.name == "baton"]
        assert [1, 2] == [fields_of(record)["requests"] for record in ours]
        assert "d.test\\x9b2J" in str(fields_of(ours[-1])["reason"])
        assert 3 == listener.metrics.snapshot().rejected["host"]


def test_names_of_its_own() -> None:
    """What BATON_PUBLIC_URL and BATON_HOST name need not be listed: commands ask by them."""
    get, url = b"GET /docs HTTP/1.1\r\nHost: ", "https://Relay.example.org:8443/x"
    with listening(echo, allowed_hosts="a.test", host="0.0.0.0", public_url=url) as listener:
        for host in (b"relay.example.org", b"0.0.0.0:8080", b"[::1]:8080"):
            assert b"HTTP/1.1 200 OK" == asked(listener, get + host + b"\r\n", b"")
        assert b"HTTP/1.1 421 Misdirected Request" == asked(listener, get + b"x\r\n", b"")


def test_a_connection_that_changes_its_name() -> None:
    """A head is known by all of its bytes: another Host in the next one is looked at, and ends the
    connection."""
    with listening(echo, allowed_hosts="x") as listener, listener.connect() as client:
        for body in (b"1!", b"2!", b"3!"):
            client.sendall(post(body))
            received(client, b":" + body)
        client.sendall(post(b"4!").replace(b"Host: x\r\n", b"Host: y\r\n"))
        head, _, body = rest(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 421 ")
        error = json.loads(body)["error"]
        assert ("misdirected_request", None) == (error["code"], error["param"])
        assert "'y'" in error["message"]
