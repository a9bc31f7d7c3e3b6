"""What went wrong with an upstream, by phase and kind: the place where it becomes UpstreamError.

Whether a failure may be retried follows from its phase alone. Until the head of an answer is there,
the caller has seen nothing and our socket is closed, so a server that still works stops; from then
on only a hand-off can help. Nothing here looks into the text of an error.
"""

import errno
import socket
import ssl

from baton.upstreams.base import Kind, Phase, UpstreamError

MESSAGES: dict[Kind, str] = {
    "refused": "The upstream refused the connection.",
    "timeout": "The upstream did not answer in time.",
    "network": "The connection to the upstream was lost.",
    "protocol": "The upstream sent an answer that breaks the protocol.",
    "status": "The upstream answered with an error.",
    "overloaded": "The upstream is overloaded.",
}

LACKS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""What this machine has none left of (files, memory): it says nothing of the upstream."""
OURS = LACKS | {errno.EADDRNOTAVAIL}
"""What says less than any other word. No address to call from: there is no IPv6 here, mostly."""


def failure(phase: Phase, kind: Kind, detail: str = "") -> UpstreamError:
    """An UpstreamError with the standing message of its kind; `detail` is for logs."""
    return UpstreamError(
        MESSAGES[kind], phase=phase, kind=kind, retryable=phase != "stream", detail=detail
    )


def connect_failure(error: BaseException) -> UpstreamError:
    """From what resolving, connecting or the TLS handshake raised."""
    if isinstance(error, UpstreamError):
        return error
    kind, detail = _connect_reason(error)
    return failure("connect", kind, detail)


def _connect_reason(error: BaseException) -> tuple[Kind, str]:
    match error:
        case ConnectionRefusedError():
            found: tuple[Kind, str] = ("refused", "connection refused")
        case TimeoutError():
            found = ("timeout", "connecting took too long")
        case ssl.SSLCertVerificationError():
            found = ("protocol", f"certificate: {error.strerror}")
        case ssl.SSLError():
            found = ("protocol", f"TLS: {error.strerror}")
        case socket.gaierror():
            found = ("network", "the host name does not resolve")
        case OSError(errno=number) if number in LACKS:
            # As our own queue in front of it, which no upstream is judged by.
            found = ("overloaded", f"none left here: {error.strerror}")
        case OSError():
            found = ("network", f"{type(error).__name__} {error.errno}")
        case _:
            found = ("network", type(error).__name__)
    return found


def lost(phase: Phase, error: BaseException | None) -> UpstreamError:
    """The connection ended before the answer did."""
    detail = "closed by the upstream" if error is None else type(error).__name__
    if isinstance(error, ssl.SSLError):  # a certificate of ours that it wants: it says so late
        detail = f"TLS: {error.strerror}"
    return failure(phase, "network", detail)
