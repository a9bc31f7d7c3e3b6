"""What a case demands of a dialect that does what it asks in another way, each with its reason.

A case stands for the contract as the embedded model keeps it. Where a dialect does natively what is
filled there, or words a refusal as its server does, the case is judged by what is written here
instead: nothing is left out.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from baton.upstreams.base import Capabilities
from tests.conformance.cases import Expected

Among = Callable[[str, Capabilities], bool]


class Otherwise(msgspec.Struct, frozen=True, kw_only=True):
    """Of which dialects, what is right there, and why."""

    among: Among
    expect: Expected
    reason: str


def dialects(*names: str) -> Among:
    return lambda name, native: name in names


def native_suffix(_: str, native: Capabilities) -> bool:
    return native.suffix


def chats(_: str, native: Capabilities) -> bool:
    return native.wrapping_tokens > 0


def whole(*checks: str | list[Any]) -> Expected:
    """A completion that is right, and these checks."""
    return Expected(status=200, checks=["object", *checks])


def refused(pattern: str, **error: str) -> Expected:
    """A 400 in OpenAI's shape, no stream, with these fields and words."""
    return Expected(
        status=400,
        error={"type": "invalid_request_error", **error},
        checks=[
            "error_strict",
            ["header", "x-request-id"],
            ["ctype", "application/json"],
            ["error_matches", pattern],
        ],
    )


OTHER_WITHOUT: list[str | dict[str, None]] = ["other_text_than", {"suffix": None}]
SIZE_TOLD = refused(
    r"^This model's maximum context length is 4096 tokens", code="context_length_exceeded"
)
OUTPUT_LIMIT = refused("900000", param="max_tokens")
LIMITS_OUTPUT = dialects("anthropic", "gemini")

OTHERWISE: tuple[tuple[str, Otherwise], ...] = (
    (
        "own-shape-07",
        Otherwise(
            among=lambda name, native: True,
            expect=whole(["body_lacks", "system_fingerprint"]),
            reason="only of the embedded engine Baton knows that its results are the same",
        ),
    ),
    (
        "own-shape-09",
        Otherwise(
            among=chats,
            expect=whole(
                ["header_absent", "x-baton-ignored"], ["header_eq", "x-baton-fills", "continuation"]
            ),
            reason="a chat goes on with a prompt only when asked for it, and that is told",
        ),
    ),
    (
        "own-suffix-02",
        Otherwise(
            among=chats,
            expect=whole(["header_eq", "x-baton-fills", "continuation"], OTHER_WITHOUT),
            reason="a chat is asked for what is missing between prompt and suffix",
        ),
    ),
    (
        "own-suffix-02",
        Otherwise(
            among=native_suffix,
            expect=whole(["header_absent", "x-baton-fills"], OTHER_WITHOUT),
            reason="the server takes a suffix itself",
        ),
    ),
    (
        "own-suffix-04",
        Otherwise(among=native_suffix, expect=whole(), reason="the server takes a suffix itself"),
    ),
    (
        "own-range-26",
        Otherwise(
            among=dialects("llama-server"),
            expect=whole(["same_text_as", {"logit_bias": None}]),
            reason="the server takes a bias on an id that is none, which is without effect",
        ),
    ),
    *(
        (
            case,
            Otherwise(
                among=LIMITS_OUTPUT,
                expect=OUTPUT_LIMIT,
                reason="the server has a limit of its own on what is generated, and tells that",
            ),
        )
        for case in ("own-max_tokens-05", "own-max_tokens-06", "own-max_tokens-09")
    ),
    *(
        (
            case,
            Otherwise(
                among=dialects("sglang", "llama-server", "openai-chat", "vllm"),
                expect=SIZE_TOLD,
                reason="the server tells the size of its context, and not both counts",
            ),
        )
        for case in ("own-max_tokens-05", "own-large-05")
    ),
    *(
        (
            case,
            Otherwise(
                among=dialects("ollama"),
                expect=whole(["finish_in", ["length", "stop"]]),
                reason="the server ends where its context does, with finish_reason length",
            ),
        )
        for case in ("max_tokens-07", "own-max_tokens-05", "own-max_tokens-06")
    ),
    (
        "own-max_tokens-09",
        Otherwise(
            among=dialects("ollama"),
            expect=Expected(status=200, checks=["sse", ["stream_finish", 1]]),
            reason="the server ends where its context does, with finish_reason length",
        ),
    ),
)
"""By case; the first that is about a dialect counts."""


def otherwise(case: str, dialect: str, native: Capabilities) -> Expected | None:
    """What to demand instead; None where the case stands as it is."""
    for name, found in OTHERWISE:
        if name == case and found.among(dialect, native):
            return found.expect
    return None
