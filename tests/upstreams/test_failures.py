"""Exceptions of connecting, and what they are called."""

import socket
import ssl

import pytest

from baton.upstreams.base import Kind, Phase, UpstreamError
from baton.upstreams.failures import MESSAGES, connect_failure, failure, lost


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "refused"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(), "network"),
        (OSError(113, "No route to host"), "network"),
        (OSError(24, "Too many open files"), "overloaded"),
        (OSError(99, "Cannot assign requested address"), "network"),
        (socket.gaierror(-2, "Name or service not known"), "network"),
        (ssl.SSLError(1, "wrong version"), "protocol"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "protocol"),
        (UnicodeError("label too long"), "network"),
    ],
)
def test_connect_failures_by_type(error: Exception, kind: str) -> None:
    """Each type has its kind; all may be retried, since nothing was sent."""
    found = connect_failure(error)
    assert (found.phase, found.kind, found.retryable) == ("connect", kind, True)


def test_an_upstream_error_stays_itself() -> None:
    """What is already mapped is not mapped again."""
    error = failure("connect", "refused", "denied")
    assert connect_failure(error) is error


@pytest.mark.parametrize("phase", ["connect", "send", "first_byte", "stream"])
@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_retryable_until_the_answer_has_begun(phase: Phase, kind: Kind) -> None:
    """Only a running answer cannot be asked for again."""
    assert failure(phase, kind).retryable == (phase != "stream")
    assert str(failure(phase, kind, "why")) == MESSAGES[kind]


def test_lost_says_how() -> None:
    """A close in order and a reset are told apart in the detail."""
    assert lost("stream", None).detail == "closed by the upstream"
    found: UpstreamError = lost("first_byte", ConnectionResetError())
    assert (found.kind, found.detail) == ("network", "ConnectionResetError")
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required")
    assert lost("first_byte", alert).detail == f"TLS: {alert.strerror}"
