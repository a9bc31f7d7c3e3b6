"""The places that are listened at: their sockets, what keeps from one, and who can reach it."""

import errno
import os
import socket
import sys
from typing import NamedTuple

from baton.config import Settings

LISTEN_BACKLOG = 4096
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
"""Of a Unix socket's path, in every system call that takes one."""


class Place(NamedTuple):
    """Where to listen, and the settings that say so."""

    host: str
    port: int
    host_setting: str = "BATON_HOST"
    port_setting: str = "BATON_PORT"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class CannotListen(Exception):
    """At one of the places; the message says which, why, and what setting would help."""


def places(settings: Settings) -> list[Place]:
    """The one where callers come; behind it that of operators, if it is another one."""
    found = [Place(settings.host, settings.port)]
    if settings.admin_listen:
        host, _, port = settings.admin_listen.rpartition(":")
        name = "BATON_ADMIN_LISTEN"
        found.append(Place(host.strip("[]"), int(port), name, name))
    return found


def bind_all(settings: Settings) -> list[socket.socket]:
    """A listening socket for each place. Raises CannotListen, and leaves none open."""
    listeners: list[socket.socket] = []
    try:
        for place in places(settings):
            listeners.append(_bound(place, len(listeners) > 0 and place.port == settings.port))
    except CannotListen:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bound(place: Place, ours: bool) -> socket.socket:
    """`ours`: where somebody has the port, that is us."""
    try:
        return bind(place)
    except (OSError, UnicodeError) as error:
        why = refusal(error, place)
        if ours and getattr(error, "errno", None) == errno.EADDRINUSE:
            why = f"that is BATON_PORT's, too; set {place.port_setting} to another one"
        raise CannotListen(f"cannot listen on {place}: {why}") from None


def bind(place: Place) -> socket.socket:
    """The listening socket; OSError or UnicodeError when the address is taken, not ours or none."""
    listener = socket.socket(_family(place), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(_address(place))
        listener.listen(LISTEN_BACKLOG)
        listener.setblocking(False)
    except (OSError, UnicodeError):
        listener.close()
        raise
    return listener


def refusal(error: OSError | UnicodeError, place: Place) -> str:
    """Why `bind` could not, and which setting would help."""
    host, port = place.host_setting, place.port_setting
    no_host = f"set {host} to a name or an address of this machine, without a port or brackets"
    if host == port:
        no_host = f"set {host} to a name or an address of this machine, and a port"
    if isinstance(error, UnicodeError):
        return f"that is no name of a host; {no_host}"
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; {no_host}"
    remedies = {
        errno.EADDRINUSE: f"another program has the port: stop it, or set {port} to another one",
        errno.EACCES: f"set {port} to 1024 or above, or give the process CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: f"set {host} to an address of this machine",
    }
    names = " and ".join(dict.fromkeys((host, port)))
    return f"{error.strerror}; {remedies.get(error.errno or 0, f'look at {names}')}"


def within_machine(address: str) -> bool:
    """Whether an address, as sockets tell it, is reached from this machine alone."""
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


def resolved(place: Place) -> str:
    """The address that its host is. Raises OSError or UnicodeError where it is none."""
    return str(_address(place)[0])


def too_long(settings: Settings) -> str | None:
    """Why the engine cannot listen in this home; None where it can."""
    spare = SOCKET_PATH_BYTES_MAX - len(os.fsencode(settings.engine_socket))
    if spare >= 0:
        return None
    most = len(os.fsencode(settings.home)) + spare
    return f"BATON_HOME is too long for the engine's socket: at most {most} bytes of path"


def _family(place: Place) -> socket.AddressFamily:
    """Names are looked up in IPv4."""
    return socket.AF_INET6 if ":" in place.host else socket.AF_INET


def _address(place: Place) -> tuple[int | str | bytes, ...]:
    found = socket.getaddrinfo(place.host, place.port, _family(place), socket.SOCK_STREAM)
    return found[0][4]
