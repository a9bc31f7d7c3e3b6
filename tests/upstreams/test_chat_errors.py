"""A server's own wordings decide whose fault a 400 is; all else goes by its status."""

import json
import re

import pytest

from baton.errors import RequestError
from baton.upstreams.base import UpstreamError
from baton.upstreams.chat_errors import Wording, refusal_of

WORDING = Wording(
    fields={"limit": "max_tokens"},
    context=re.compile("too much"),
    context_tokens=re.compile(r"of (\d+)"),
    operators=re.compile("pay first"),
)


def judged(status: int, message: str) -> Exception:
    return refusal_of(status, json.dumps({"error": {"message": message}}).encode(), "3", WORDING)


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [("the limit is", "max_tokens", None), ("limits are", None, None), ("", None, None),
     ("too much limit of 40", "prompt", "context_length_exceeded"),
     ("too much", "prompt", "context_length_exceeded")],
)  # fmt: skip
def test_the_callers_faults(message: str, param: str | None, code: str | None) -> None:
    """Whole words name a field; a context overflow comes before them."""
    error = judged(400, message)
    assert isinstance(error, RequestError)
    assert (error.status, error.param, error.code) == (400, param, code)


def test_a_context_overflow_has_the_wording_that_clients_look_for() -> None:
    """With the size, where it is told."""
    error = judged(400, "too much of 40")
    assert isinstance(error, RequestError)
    assert error.message.startswith("This model's maximum context length is 40 tokens")


@pytest.mark.parametrize(("status", "message"), [(400, "pay first"), (401, "limit"), (500, "x")])
def test_the_others(status: int, message: str) -> None:
    """Retryable elsewhere; when to come back is kept."""
    error = judged(status, message)
    assert isinstance(error, UpstreamError)
    assert (error.retryable, error.retry_after_s) == (True, 3.0)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'{"error":5}', b"[" * 5000])
def test_a_body_of_another_shape_says_nothing(body: bytes) -> None:
    """It is the caller's 400 all the same, without a word."""
    assert isinstance(refusal_of(400, body, None, WORDING), RequestError)
