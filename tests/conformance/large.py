"""Cases whose bodies are too long to write down: what must be refused before it costs memory."""

from typing import Any

from tests.conformance.cases import Case, Expected, Request

PATH = "/v1/completions"
NESTED_DEPTH = 1_000_000
PROMPTS_MAX = 2048
LONG_PROMPT_TOKENS = 9000
REFUSED: list[str | list[Any]] = ["error_strict", ["header", "x-request-id"]]


def large_cases() -> list[Case]:
    """In the form of the files' cases."""
    nested = "[" * NESTED_DEPTH + "]" * NESTED_DEPTH
    start = '{"model":"$MODEL","prompt":'
    long_prompt = [100] * LONG_PROMPT_TOKENS
    return [
        _case("own-large-01", "an unknown field nested deep", raw=start + f'"a","foo":{nested}}}'),
        _case("own-large-02", "a prompt nested deep", raw=start + nested + "}"),
        _case(
            "own-large-03",
            "more prompts than the cap",
            body={"prompt": ["a"] * (PROMPTS_MAX + 1), "max_tokens": 0, "echo": True},
            error={"param": "prompt"},
        ),
        _case(
            "own-large-04",
            "more tokens in all than the cap",
            body={"prompt": ["a"] * PROMPTS_MAX, "n": 128, "max_tokens": 2000},
        ),
        _case(
            "own-large-05",
            "a prompt longer than the context, told with its length",
            body={"prompt": long_prompt, "max_tokens": 1},
            error={"code": "context_length_exceeded"},
            checks=[["error_matches", f"{LONG_PROMPT_TOKENS} in your prompt"]],
        ),
        _case(
            "own-large-06",
            "one prompt of several too long: all are refused",
            body={"prompt": [[100], long_prompt], "max_tokens": 1},
            error={"code": "context_length_exceeded"},
        ),
    ]


def _case(
    case_id: str,
    title: str,
    *,
    body: dict[str, Any] | None = None,
    raw: str | None = None,
    error: dict[str, Any] | None = None,
    checks: list[str | list[Any]] | None = None,
) -> Case:
    whole = None if body is None else {"model": "$MODEL", **body}
    return Case(
        id=case_id,
        group="own-large",
        title=title,
        request=Request(method="POST", path=PATH, body=whole, raw=raw),
        expect=Expected(
            status=400,
            error={"type": "invalid_request_error", **(error or {})},
            checks=REFUSED + (checks or []),
        ),
    )
