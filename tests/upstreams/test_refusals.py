"""Error answers of real servers: whose fault, which code, which words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.errors import RequestError
from baton.upstreams.base import UpstreamError
from baton.upstreams.refusals import (
    MESSAGE_LENGTH_MAX,
    Said,
    error_within,
    printable,
    read,
    refusal,
    seconds,
)

CONTEXT = "context_length_exceeded"
SGLANGS = (
    "1 validation error:\n  {'type': 'string_type', 'loc': ('body', 'json_schema'), 'msg':"
    " 'Input should be a valid string', 'input': {'type': 'object'}}\n\n"
    '  File "/srv/sglang/srt/entrypoints/http_server.py", line 1860, in openai_v1_completions'
)
"""How SGLang 0.5.23 words what FastAPI found: its own files are nobody's business."""


MISTRALS = [
    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted",
     "input": 5}
]  # fmt: skip
"""FastAPI's complaint as Mistral's chat route says it, inside a message or in place of it."""


def request_error(status: int, body: Any) -> tuple[int, str, str | None, str | None]:
    error = refusal(status, json.dumps(body).encode(), None)
    assert isinstance(error, RequestError)
    return error.status, error.message, error.code, error.param


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"message": "bad n", "type": "t", "param": "n", "code": "c"}},
            Said("bad n", "t", "n", "c"),
        ),
        (
            {"error": {"message": "bad", "type": "BadRequestError", "param": None, "code": 400}},
            Said("bad", "BadRequestError", "", "400"),
        ),
        (
            {"error": {"code": 400, "message": "bad", "type": "invalid_request_error"}},
            Said("bad", "invalid_request_error", "", "400"),
        ),
        (
            {"object": "error", "message": "bad", "type": "x", "param": None, "code": 400},
            Said("bad", "x", "", "400"),
        ),
        (
            {"error": {"message": "bad", "type": "Bad Request", "param": "body.stop", "code": 400}},
            Said("bad", "", "stop", "400"),
        ),
        (
            {"object": "error", "message": SGLANGS, "type": "Bad Request", "code": 400},
            Said("Input should be a valid string", "", "json_schema", "400"),
        ),
        ({"error": "Unauthorized"}, Said("Unauthorized")),
        ({"error": "bad", "error_type": "validation"}, Said("bad", "validation")),
        ({"detail": "Not Found"}, Said("Not Found")),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "must be int", "type": "int"}]},
            Said("must be int", "", "n"),
        ),
        ({"detail": []}, Said()),
        (
            {"object": "error", "message": {"detail": MISTRALS}, "type": "invalid_request_error"},
            Said("Extra inputs are not permitted", "", "seed"),
        ),
        (
            {"object": "Error", "detail": MISTRALS, "message": MISTRALS, "code": 3001},
            Said("Extra inputs are not permitted", "", "seed"),
        ),
        ({"message": {"detail": 5}}, Said()),
        ({"message": {}}, Said()),
        ({"error": {"message": "m", "n_ctx": 5, "code": 400}}, Said("m", "", "", "400", 5)),
        ({"error": None}, Said()),
        ([1], Said()),
        ({"error": {"message": ["x"]}}, Said()),
    ],
)
def test_shapes(body: Any, expected: Said) -> None:
    """Five shapes, FastAPI's, Mistral's around that, and what is none of them."""
    assert read(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 400, "type": "exceed_context_size_error", "message": "x"}, CONTEXT),
        ({"code": 400, "type": "BadRequestError", "message": "x"}, None),
        ({"code": "unsupported_parameter", "type": "invalid_request_error"}, None),
        ({"code": 500, "type": "invalid_request_error"}, "failed"),
        ({"code": "model_not_found", "type": "invalid_request_error"}, "failed"),
        ({"code": "upstream_lost", "type": "upstream_error"}, "failed"),
        ({}, "failed"),
        ("gone", "failed"),
    ],
)
def test_an_error_in_place_of_an_answer(error: Any, code: str | None) -> None:
    """What blames the request is its caller's to know; any other is a failure of the server."""
    found = error_within(json.dumps({"error": error}).encode())
    if code == "failed":
        assert isinstance(found, UpstreamError)
        assert (found.phase, found.kind) == ("stream", "status")
    else:
        assert isinstance(found, RequestError)
        assert found.status == 400
        assert code in (None, found.code)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"detail":' + b"[" * 9]
)
def test_unreadable_bodies_say_nothing(body: bytes) -> None:
    """No body is ever an exception of ours."""
    assert read(body) == Said()


OPENAI_WORDS = (
    "This model's maximum context length is 4097 tokens, however you requested 4322 tokens (4066 in"
    " your prompt; 256 for the completion). Please reduce your prompt; or completion length."
)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"error": {"message": OPENAI_WORDS, "code": CONTEXT, "type": "x", "param": None}}, 4097),
        (
            {
                "object": "error",
                "message": "Requested token count exceeds the model's maximum context length of"
                " 2048 tokens. You requested a total of 3000 tokens.",
                "code": 400,
            },
            2048,
        ),
        (
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size. try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 900,
                    "n_ctx": 512,
                }
            },
            512,
        ),
        (
            {
                "error": {
                    "message": "This model's maximum context length is 8192 tokens. However, you"
                    " requested 9000 output tokens",
                    "type": "BadRequestError",
                    "param": "max_tokens",
                    "code": 400,
                }
            },
            8192,
        ),
        (
            {
                "error": "`inputs` tokens + `max_new_tokens` must be <= 4096",
                "error_type": "validation",
            },
            None,
        ),
        (
            {
                "detail": "The input (5000 tokens) is longer than the model's context length"
                " (64 tokens)"
            },
            64,
        ),
    ],
)
def test_context_overflows(body: Any, tokens: int | None) -> None:
    """Any server's words for it become OpenAI's, with the number where it is told."""
    for status in (400, 413, 422):
        found, message, code, param = request_error(status, body)
        assert (found, code, param) == (400, CONTEXT, "prompt")
        if tokens is not None:
            assert message.startswith(f"This model's maximum context length is {tokens} tokens")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {"error": {"message": "n must be 1", "param": "n", "code": "bad_n", "type": "x"}},
            (400, "n must be 1", "bad_n", "n"),
        ),
        (400, {"error": {"message": "bad", "code": 400}}, (400, "bad", None, None)),
        (
            422,
            {"detail": [{"loc": ["body", "stop"], "msg": "too many"}]},
            (400, "too many", None, "stop"),
        ),
        (
            413,
            {},
            (
                413,
                "The upstream refused the request without saying why.",
                "request_too_large",
                None,
            ),
        ),
        (
            400,
            {"error": {"message": "token_id(s) [9] in logit_bias contain out-of-vocab token ids."}},
            (
                400,
                "token_id(s) [9] in logit_bias contain out-of-vocab token ids.",
                None,
                "logit_bias",
            ),
        ),
        (
            400,
            {"object": "error", "message": "Token id 9 is out of vocabulary", "code": 400},
            (400, "Token id 9 is out of vocabulary", None, "prompt"),
        ),
        (
            400,
            {"error": {"message": "Prompt contains invalid tokens", "code": 400}},
            (400, "Prompt contains invalid tokens", None, "prompt"),
        ),
        (
            400,
            {"error": {"message": "top_p or temperature"}},
            (400, "top_p or temperature", None, None),
        ),
        (
            400,
            {"error": {"message": "x", "param": "<script>", "code": "a b"}},
            (400, "x", None, None),
        ),
    ],
)
def test_the_callers_faults(
    status: int, body: Any, expected: tuple[int, str, str | None, str | None]
) -> None:
    """400, 413 and 422 are told with their field; names that are none are dropped."""
    assert request_error(status, body) == expected


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "", "status"), (403, "", "status"), (404, "model_not_found", "status"),
        (400, "model_not_found", "status"), (400, "invalid_api_key", "status"),
        (408, "", "status"), (409, "", "status"), (429, "", "overloaded"),
        (429, "insufficient_quota", "overloaded"), (500, "", "status"), (501, "", "status"),
        (502, "", "status"), (503, "", "overloaded"), (529, "", "overloaded"),
        (301, "", "status"), (204, "", "status"), (999, "", "status"),
    ],
)  # fmt: skip
def test_the_operators_and_the_upstreams_faults(status: int, code: str, kind: str) -> None:
    """Never a word of the upstream in message or detail; another upstream may be asked."""
    body = json.dumps({"error": {"message": "secret words", "code": code, "type": ""}}).encode()
    error = refusal(status, body, "3")
    assert isinstance(error, UpstreamError)
    assert (error.phase, error.kind, error.retryable) == ("first_byte", kind, True)
    assert (error.status, error.retry_after_s) == (status, 3.0)
    assert "secret" not in f"{error}{error.detail}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("0", 0.0), ("1.5", 1.5), ("99999", 3600.0), ("-1", None), ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("1e9", None), ("٣", None), ("nan", None),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, expected: float | None) -> None:
    """Seconds, bounded; other forms are as if nothing was said."""
    assert seconds(header) == expected


@given(st.text())
def test_foreign_text_is_one_short_printable_line(text: str) -> None:
    """No control characters, line ends or direction marks get through, and not much text."""
    shown = printable(text)
    assert len(shown) <= MESSAGE_LENGTH_MAX
    assert not any(ch < " " or ch in "\x7f\u2028\u2029\u202e\u2066" for ch in shown)


def test_a_long_text_is_cut() -> None:
    """With an ellipsis, at the bound."""
    assert printable("x" * 10_000) == "x" * (MESSAGE_LENGTH_MAX - 1) + "…"
