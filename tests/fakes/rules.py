"""How a completions server reads a request, where servers differ.

vLLM's rules are as recorded of its 0.32.0, SGLang's of its 0.5.23: what they refuse, and what they
take otherwise than said.
"""

import itertools
from typing import Any

from tests.fakes import word_model
from tests.fakes.refused import CONTEXT_TOKENS, Refused, too_long

Json = dict[str, Any]
STOPS_MAX = 4
"""VLLM_MAX_STOP_STRINGS, unless its operator sets another."""
LOGPROBS_MAX = 20
GREEDY_BELOW = 1e-5
NO_SEED = -1
"""Taken for none."""
SGLANG_STOPS_MAX = 32
VALIDATION = (
    "1 validation error:\n  {{'type': 'value_error', 'loc': ('body', '{}'), 'msg': '{}',"
    " 'input': 0}}\n\n  File \"/srv/sglang/srt/entrypoints/http_server.py\", line 1860"
)


class Rules:
    """Of a server that does what it is asked."""

    late = False
    """Opens a stream before its engine has looked at the request: a refusal is an event of it."""
    joined = False
    """An echo comes with the first token."""
    zero_counted = 0
    """Tokens that are generated, and counted, of `max_tokens: 0`."""

    def check(self, body: Json) -> None:
        """Raises Refused."""

    def fitted(self, errors: str, prompt_tokens: int, max_tokens: int) -> int:
        """How many tokens may be generated. Raises Refused, as servers with these `errors`."""
        if prompt_tokens + max_tokens > CONTEXT_TOKENS:
            raise too_long(errors, prompt_tokens, max_tokens)
        return max_tokens

    def seed(self, body: Json) -> int:
        """0 where there is none, so that tests can tell an answer in advance."""
        return int(body.get("seed", 0))

    def echo(self, body: Json, prompt: list[int]) -> str:
        """The text of an echo."""
        return word_model.decode(prompt)

    def scored(self, prompt: list[int], logprobs: int) -> list[word_model.Position]:
        """The logprobs of an echo."""
        return word_model.scored_prompt(prompt, logprobs)

    def named(self, body: Json, token: int) -> str:
        """A token in logprobs."""
        return word_model.piece(token)


class SglangRules(Rules):
    """Of an SGLang."""

    def check(self, body: Json) -> None:
        """Raises Refused."""
        if body.get("max_tokens", 1) <= 0:
            words = "Value error, max_tokens must be positive"
            raise Refused(400, VALIDATION.format("max_tokens", words))
        if not isinstance(body.get("json_schema", ""), str):
            raise Refused(400, VALIDATION.format("json_schema", "Input should be a valid string"))
        if (top_p := body.get("top_p", 1.0)) <= 0:
            raise Refused(400, f"top_p must be in (0, 1], got {top_p}.")
        if (count := len(body.get("stop") or ())) > SGLANG_STOPS_MAX:
            raise Refused(400, f"at most 32 stop strings are allowed, got {count}")

    def scored(self, prompt: list[int], logprobs: int) -> list[word_model.Position]:
        """None at `logprobs: 0`."""
        return super().scored(prompt, logprobs) if logprobs else []


class VllmRules(Rules):
    """Of a vLLM that was started with --return-tokens-as-token-ids."""

    late = joined = True
    zero_counted = 1

    def __init__(self) -> None:
        self._unseeded = itertools.count(1_000_000)

    def check(self, body: Json) -> None:
        """Raises Refused."""
        stops, n = body.get("stop") or (), body.get("n", 1)
        if isinstance(stops, list) and len(stops) > STOPS_MAX:
            raise Refused(400, _two_complaints(len(stops)), param="body.stop", kind="Bad Request")
        if body["prompt"] == "":
            words = "Either prompt or prompt_embeds must be provided and non-empty."
            raise Refused(400, f"{words} (parameter=prompt)", param="prompt")
        if body.get("temperature", 1.0) < GREEDY_BELOW and n > 1:
            raise Refused(400, f"n must be 1 when using greedy sampling, got {n}.")
        if body.get("top_p", 1.0) == 0:
            raise _at("top_p", "top_p must be in (0, 1], got 0.0.", 0.0)
        if body.get("max_tokens") == 0 and not body.get("echo"):
            raise _at("max_tokens", "max_tokens must be at least 1, got 0.", 0)
        asked = body.get("logprobs") or 0
        if asked > LOGPROBS_MAX:
            words = f"Requested sample logprobs of {asked}, which is greater than max allowed: 20"
            raise _at("logprobs", words, asked, late=True)

    def fitted(self, errors: str, prompt_tokens: int, max_tokens: int) -> int:
        """As many as there is room for. Refused where there is none, or more are asked for than
        there ever is."""
        if max_tokens > CONTEXT_TOKENS:
            words = (
                f"max_tokens={max_tokens} cannot be greater than max_model_len={CONTEXT_TOKENS}."
            )
            raise _at("max_tokens", f"{words} Please request fewer output tokens.", max_tokens)
        if prompt_tokens >= CONTEXT_TOKENS:
            words = (
                f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, your"
                f" prompt contains at least {prompt_tokens} input tokens, which exceeds this limit"
                " even without any output tokens. Please reduce the length of the input prompt."
            )
            raise _at("input_tokens", words, prompt_tokens)
        return min(max_tokens, CONTEXT_TOKENS - prompt_tokens)

    def seed(self, body: Json) -> int:
        seed = super().seed(body)
        return next(self._unseeded) if seed == NO_SEED else seed

    def echo(self, body: Json, prompt: list[int]) -> str:
        """None where ids are asked for; the logprobs of it come all the same."""
        return "" if body.get("return_token_ids") else super().echo(body, prompt)

    def named(self, body: Json, token: int) -> str:
        as_id = body.get("return_tokens_as_token_ids", True)
        return f"token_id:{token}" if as_id else super().named(body, token)


def _at(param: str, words: str, value: object, *, late: bool = False) -> Refused:
    said = f"{words} (parameter={param}, value={value})"
    return Refused(400, said, param=param, late=late)


def _two_complaints(count: int) -> str:
    given = f"<list of {count} items>"
    first = {"type": "string_type", "loc": "body.stop", "msg": "Input should be a valid string"}
    words = f"List should have at most 4 items after validation, not {count}"
    second = {"type": "too_long", "loc": "body.stop", "msg": words, "input": given}
    return f"2 validation errors:\n  {first | {'input': given}}\n  {second}"
