"""The socket that is listened on, and what is said where it cannot be had."""

import contextlib
import errno
import pathlib
import socket

import pytest

from baton.config import Settings
from baton.listening import bind, refusal, resolved, too_long, within_machine


def test_bind() -> None:
    """A free port listens, on IPv6 too; a taken one is an OSError."""
    with contextlib.closing(bind(Settings(port=0))) as listener:
        assert listener.getsockname()[1] > 0
        with pytest.raises(OSError, match="in use"):
            bind(Settings(port=listener.getsockname()[1]))
    if socket.has_ipv6 and pathlib.Path("/proc/net/if_inet6").exists():
        with contextlib.closing(bind(Settings(host="::1", port=0))) as listener:
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
        bind(Settings(host=host, port=0))
    assert isinstance(caught.value, OSError | UnicodeError)
    said = refusal(caught.value)
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
    assert named in refusal(OSError(number, "no"))


def test_who_can_reach_it() -> None:
    """Every form of a loopback address is this machine's alone."""
    hosts = ["127.0.0.1", "127.1", "127.0.0.2", "localhost", "::1", "::ffff:127.0.0.1"]
    assert [True] * 6 == [within_machine(resolved(Settings(host=host))) for host in hosts]
    outside = ["0.0.0.0", "::", "192.0.2.1", "0"]
    assert [False] * 4 == [within_machine(resolved(Settings(host=host))) for host in outside]


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
