"""The socket that is listened on, and what is said where it cannot be had."""

import contextlib
import errno
import pathlib
import socket

import pytest

from baton.config import Settings
from baton.listening import (
    CannotListen,
    Place,
    bind,
    bind_all,
    places,
    refusal,
    resolved,
    too_long,
    within_machine,
)
from tests.running import free_port

LOOPBACK = Place("127.0.0.1", 0)


def test_bind() -> None:
    """A free port listens, on IPv6 too; a taken one is an OSError."""
    with contextlib.closing(bind(LOOPBACK)) as listener:
        assert listener.getsockname()[1] > 0
        with pytest.raises(OSError, match="in use"):
            bind(Place("127.0.0.1", listener.getsockname()[1]))
    if socket.has_ipv6 and pathlib.Path("/proc/net/if_inet6").exists():
        with contextlib.closing(bind(Place("::1", 0))) as listener:
            assert socket.AF_INET6 == listener.family


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1:8080", "without a port"),
        ("ключ..b", "no name of a host; set BATON_HOST"),
        ("192.0.2.1", "BATON_HOST to an address of this machine"),
    ],
)
def test_a_host_that_is_none(host: str, named: str) -> None:
    """The setting that is wrong is named, and no other program is blamed."""
    with pytest.raises((OSError, UnicodeError)) as caught:
        bind(Place(host, 0))
    assert isinstance(caught.value, OSError | UnicodeError)
    said = refusal(caught.value, LOOPBACK)
    assert named in said
    assert "BATON_PORT" not in said


@pytest.mark.parametrize(
    ("number", "named"),
    [
        (errno.EADDRINUSE, "another program has the port"),
        (errno.EACCES, "BATON_PORT to 1024 or above"),
        (errno.ENOBUFS, "BATON_HOST and BATON_PORT"),
    ],
)
def test_a_port_that_cannot_be_had(number: int, named: str) -> None:
    """Taken, not allowed, anything else: each has its remedy."""
    assert named in refusal(OSError(number, "no"), LOOPBACK)


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("127.0.0.1:9090", ("127.0.0.1", 9090)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_places(listen: str, place: tuple[str, int]) -> None:
    """One for all, or two: the second has a setting of its own."""
    assert [("127.0.0.1", 8080, "BATON_HOST", "BATON_PORT")] == places(Settings())
    _, second = places(Settings(admin_listen=listen))
    assert (*place, "BATON_ADMIN_LISTEN", "BATON_ADMIN_LISTEN") == second


def test_both_are_bound() -> None:
    """To ports of their own, on addresses of their own."""
    both = bind_all(Settings(port=0, admin_listen="127.0.0.2:0"))
    with both[0], both[1]:
        (host, port), (other_host, other_port) = (each.getsockname() for each in both)
    assert ("127.0.0.1", "127.0.0.2") == (host, other_host)
    assert port
    assert other_port


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("ключ..b", "no name of a host; set BATON_ADMIN_LISTEN to a name"),
        ("nowhere.invalid", "set BATON_ADMIN_LISTEN to a name or an address of this machine, and"),
        ("192.0.2.1", "set BATON_ADMIN_LISTEN to an address of this machine"),
    ],
)
def test_a_second_host_that_is_none(host: str, named: str) -> None:
    """Its own setting is named, and the first place is given up."""
    port = free_port()
    with pytest.raises(CannotListen, match=f"cannot listen on {host}:0: ") as caught:
        bind_all(Settings(port=port, admin_listen=f"{host}:0"))
    assert named in str(caught.value)
    bind(Place("127.0.0.1", port)).close()


def test_a_port_that_both_name() -> None:
    """No other program is blamed; another one's port is told as such."""
    port = free_port()
    settings = Settings(port=port, admin_listen=f"127.0.0.1:{port}")
    with pytest.raises(CannotListen, match="BATON_PORT's, too; set BATON_ADMIN_LISTEN to another"):
        bind_all(settings)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=r"another program has the port: .*BATON_ADMIN_LI"):
            bind_all(Settings(port=port, admin_listen=place))
    bind(Place("127.0.0.1", port)).close()


def test_who_can_reach_it() -> None:
    """Every form of a loopback address is this machine's alone."""
    hosts = ["127.0.0.1", "127.1", "127.0.0.2", "localhost", "::1", "::ffff:127.0.0.1"]
    assert [True] * 6 == [within_machine(resolved(Place(host, 0))) for host in hosts]
    outside = ["0.0.0.0", "::", "192.0.2.1", "0"]
    assert [False] * 4 == [within_machine(resolved(Place(host, 0))) for host in outside]


def test_where_the_engine_can_listen(tmp_path: pathlib.Path) -> None:
    """As far as the system takes a path; bytes count, not letters."""
    room = len("/run/engine.sock")
    for letter, size in (("x", 1), ("é", 2)):
        longest = "/" + letter * ((107 - room - 1) // size)
        assert too_long(Settings(home=longest)) is None
        assert "at most 91 bytes" in (too_long(Settings(home=longest + letter)) or "")
    with socket.socket(socket.AF_UNIX) as listener:
        deep = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
        listener.bind(str(deep))
        with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match="too long"):
            other.bind(f"{deep}x")
