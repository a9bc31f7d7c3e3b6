"""The address that is listened on: the socket, what keeps from it, and who can reach it."""

import errno
import os
import socket
import sys

from baton.config import Settings

LISTEN_BACKLOG = 4096
REMEDIES = {
    errno.EADDRINUSE: "another program has the port: stop it, or set BATON_PORT to another one",
    errno.EACCES: "set BATON_PORT to 1024 or above, or give the process CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "set BATON_HOST to an address of this machine",
}
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
"""Of a Unix socket's path, in every system call that takes one."""
NO_HOST = "set BATON_HOST to a name or an address of this machine, without a port or brackets"


def bind(settings: Settings) -> socket.socket:
    """The listening socket; OSError or UnicodeError when the address is taken, not ours or none."""
    listener = socket.socket(_family(settings), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(_place(settings))
        listener.listen(LISTEN_BACKLOG)
        listener.setblocking(False)
    except (OSError, UnicodeError):
        listener.close()
        raise
    return listener


def refusal(error: OSError | UnicodeError) -> str:
    """Why `bind` could not, and which setting would help."""
    if isinstance(error, UnicodeError):
        return f"that is no name of a host; {NO_HOST}"
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; {NO_HOST}"
    remedy = REMEDIES.get(error.errno or 0, "look at BATON_HOST and BATON_PORT")
    return f"{error.strerror}; {remedy}"


def within_machine(address: str) -> bool:
    """Whether an address, as sockets tell it, is reached from this machine alone."""
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"


def resolved(settings: Settings) -> str:
    """The address that the host is. Raises OSError or UnicodeError where it is none."""
    return str(_place(settings)[0])


def too_long(settings: Settings) -> str | None:
    """Why the engine cannot listen in this home; None where it can."""
    spare = SOCKET_PATH_BYTES_MAX - len(os.fsencode(settings.engine_socket))
    if spare >= 0:
        return None
    most = len(os.fsencode(settings.home)) + spare
    return f"BATON_HOME is too long for the engine's socket: at most {most} bytes of path"


def _family(settings: Settings) -> socket.AddressFamily:
    """Names are looked up in IPv4."""
    return socket.AF_INET6 if ":" in settings.host else socket.AF_INET


def _place(settings: Settings) -> tuple[int | str | bytes, ...]:
    found = socket.getaddrinfo(settings.host, settings.port, _family(settings), socket.SOCK_STREAM)
    return found[0][4]
