"""Every error has a status, OpenAI's four keys, and the headers that tell clients what to do."""

import json
import re

import pytest

from baton import errors
from baton.errors import RequestError, Unheeded

TABLE: list[tuple[RequestError, int, str, str | None, str | None]] = [
    (errors.invalid("m", "n", "c"), 400, "invalid_request_error", "n", "c"),
    (errors.empty_body(), 400, "invalid_request_error", None, None),
    (errors.malformed_body("bad"), 400, "invalid_request_error", None, None),
    (
        errors.missing_model(),
        400,
        "invalid_request_error",
        "model",
        "missing_required_parameter",
    ),
    (
        errors.missing_parameter("prompt"),
        400,
        "invalid_request_error",
        "prompt",
        "missing_required_parameter",
    ),
    (
        errors.wrong_type("a.b", "a string", "null"),
        400,
        "invalid_request_error",
        "a",
        "invalid_type",
    ),
    (
        errors.below_minimum("n", "integer", 1, 0),
        400,
        "invalid_request_error",
        "n",
        "integer_below_min_value",
    ),
    (
        errors.above_maximum("top_p", "decimal", 1, 2),
        400,
        "invalid_request_error",
        "top_p",
        "decimal_above_max_value",
    ),
    (
        errors.too_many("stop", 4, 9),
        400,
        "invalid_request_error",
        "stop",
        "array_above_max_length",
    ),
    (
        errors.too_long("user", 512),
        400,
        "invalid_request_error",
        "user",
        "string_above_max_length",
    ),
    (errors.empty_prompt("it"), 400, "invalid_request_error", "prompt", "empty_array"),
    (
        errors.too_much_work(9, 8),
        400,
        "invalid_request_error",
        "max_tokens",
        "request_too_large",
    ),
    (
        errors.strictly_unknown(["a", "b"]),
        400,
        "invalid_request_error",
        "a",
        "unknown_parameter",
    ),
    (errors.strictly_unknown([]), 400, "invalid_request_error", None, "unknown_parameter"),
    (
        errors.strictly_unfilled(["echo"], "m"),
        400,
        "invalid_request_error",
        "echo",
        "unsupported_parameter",
    ),
    (
        errors.strictly_unfilled(["continuation", "suffix"], "m"),
        400,
        "invalid_request_error",
        "prompt",
        "unsupported_parameter",
    ),
    (
        errors.unsupported("n", "m", "send n requests"),
        400,
        "invalid_request_error",
        "n",
        "unsupported_parameter",
    ),
    (errors.missing_key(), 401, "invalid_request_error", None, "missing_api_key"),
    (errors.bad_key(), 401, "invalid_request_error", None, "invalid_api_key"),
    (errors.forbidden("no"), 403, "permission_error", None, "forbidden"),
    (errors.unknown_model("m"), 404, "invalid_request_error", "model", "model_not_found"),
    (errors.unknown_path("GET", "/x"), 404, "invalid_request_error", None, "unknown_url"),
    (
        errors.wrong_method("GET", "/x", "POST"),
        405,
        "invalid_request_error",
        None,
        "method_not_supported",
    ),
    (
        errors.context_exceeded(10, 8, 4),
        400,
        "invalid_request_error",
        "prompt",
        "context_length_exceeded",
    ),
    (errors.body_too_large(5), 413, "invalid_request_error", None, "request_too_large"),
    (errors.body_too_slow(1.5), 408, "invalid_request_error", None, "request_timeout"),
    (errors.headers_too_large("big"), 431, "invalid_request_error", None, "headers_too_large"),
    (errors.misdirected_request("a"), 421, "invalid_request_error", None, "misdirected_request"),
    (errors.encoded_body("gzip"), 415, "invalid_request_error", None, "unsupported_encoding"),
    (errors.rate_limited("key", 0.5), 429, "requests", None, "rate_limit_exceeded"),
    (errors.quota_exceeded("key"), 429, "insufficient_quota", None, "insufficient_quota"),
    (errors.overloaded("full", 2.0), 503, "server_error", None, "overloaded"),
    (errors.upstream_failed("no answer"), 502, "upstream_error", None, "upstream_error"),
    (errors.upstream_lost("cut"), 502, "upstream_error", None, "upstream_lost"),
    (errors.store_unavailable(), 503, "server_error", None, "overloaded"),
    (errors.internal("req-1"), 500, "server_error", None, "internal_error"),
]


@pytest.mark.parametrize(("error", "status", "kind", "param", "code"), TABLE)
def test_table(
    error: RequestError, status: int, kind: str, param: str | None, code: str | None
) -> None:
    """Status and fields of each error; the body has all four keys, null where unknown."""
    assert error.status == status
    assert json.loads(error.body()) == {
        "error": {"message": error.message, "type": kind, "param": param, "code": code}
    }
    assert error.message == str(error) != ""


def test_the_context_error_is_worded_as_libraries_expect() -> None:
    """LangChain and others take the numbers out of this sentence by regular expression."""
    found = re.search(
        r"maximum context length is (\d+) tokens, however you requested (\d+) tokens "
        r"\((\d+) in your prompt; (\d+) for the completion\)",
        errors.context_exceeded(4097, 4066, 256).message,
    )
    assert found is not None
    assert found.groups() == ("4097", "4322", "4066", "256")


def test_a_rate_limit_says_when_to_come_back() -> None:
    """Milliseconds for the clients that know them, whole seconds (at least 1) for the others."""
    assert dict(errors.rate_limited("key", 0.25).headers) == {
        "retry-after-ms": "250",
        "retry-after": "1",
    }
    assert dict(errors.rate_limited("key", 2.001).headers)["retry-after"] == "3"
    assert dict(errors.rate_limited("key", 0.0).headers)["retry-after-ms"] == "1"
    assert dict(errors.rate_limited("key", 0.2501).headers)["retry-after-ms"] == "251"
    assert dict(errors.overloaded("busy", 1.2).headers)["retry-after"] == "2"


def test_a_used_up_budget_is_not_to_be_retried() -> None:
    """Both OpenAI libraries honour x-should-retry; without it they would triple the load."""
    assert errors.quota_exceeded("key").headers == (("x-should-retry", "false"),)


def test_a_reserved_budget_is_to_be_retried() -> None:
    """What requests under way hold at most comes back: the libraries may try again."""
    refused = errors.quota_reserved("the key", 4.2)
    assert (("retry-after", "5"),) == refused.headers
    assert "insufficient_quota" == refused.code
    assert "Come back in 5 s" in refused.message


def test_others_headers() -> None:
    """What is overloaded says when to come back; a wrong method says which are right."""
    assert errors.overloaded("full", 0.2).headers == (("retry-after", "1"),)
    assert errors.wrong_method("GET", "/x", "POST").headers == (("allow", "POST"),)


class Fault:
    """Stands for an upstream's failure."""

    def __init__(self, kind: str, retry_after_s: float | None = None) -> None:
        self.kind, self.retry_after_s = kind, retry_after_s


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        (Fault("overloaded"), 503, "overloaded", "1"),
        (Fault("overloaded", 7.4), 503, "overloaded", "8"),
        (Fault("overloaded", 1e9), 503, "overloaded", "120"),
        (Fault("refused", 2.0), 503, "overloaded", "2"),
        (Fault("timeout"), 504, "upstream_error", None),
        (Fault("network"), 502, "upstream_error", None),
    ],
)
def test_upstream_faults(fault: Fault, status: int, code: str, retry_after: str | None) -> None:
    """A busy upstream says when to come back, within what clients honour; others are 502 or 504."""
    error = errors.upstream_error(fault)
    assert (error.status, error.code) == (status, code)
    assert dict(error.headers).get("retry-after") == retry_after


def test_quotes_are_short() -> None:
    """What a caller sent may be megabytes; a message holds 40 characters of it."""
    assert errors.quoted("a" * 50) == "a" * 40 + "…"
    assert errors.quoted(5) == "5"


def test_a_field_that_is_not_heeded_is_told_of_the_caller_s_model() -> None:
    """An upstream knows it by another name."""
    error = Unheeded("n", "theirs", "ask for one.")
    assert "'n' is not available with the model 'theirs': ask for one." == error.message
    told = error.on("public")
    assert "'n' is not available with the model 'public': ask for one." == told.message
    assert (400, "n", "unsupported_parameter") == (told.status, told.param, told.code)
