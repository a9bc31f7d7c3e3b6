"""What a request asks of the sampler beside its temperature, as `word_model.Sampling` takes it."""

from typing import Any

from tests.fakes import word_model
from tests.fakes.refused import Refused

VALIDATION = (
    "1 validation error:\n  {{'type': 'value_error', 'loc': ('body', '{}'), 'msg': '{}',"
    " 'input': 0}}\n\n  File \"/srv/sglang/srt/entrypoints/http_server.py\", line 1860"
)
Json = dict[str, Any]
Bias = tuple[tuple[int, float], ...]
Knobs = tuple[float, float, float, Bias]
"""top_p, presence and frequency penalty, and the bias: the last fields of Sampling, in order."""


def knobs_of(body: Json, *, bias_refused: bool = True) -> Knobs:
    """Of a body in OpenAI's names. Raises Refused, in vLLM's words, where a bias is on an id that
    is none and the server looks."""
    top_p = body.get("top_p")
    presence, frequency = body.get("presence_penalty"), body.get("frequency_penalty")
    bias = _bias(body.get("logit_bias") or {})
    unknown = _unknown([token for token, _ in bias])
    if unknown and bias_refused:
        words = f"token_id(s) {unknown} in logit_bias contain out-of-vocab token ids."
        raise Refused(400, f"{words} Vocabulary size: {word_model.VOCABULARY_SIZE}")
    return 1.0 if top_p is None else top_p, presence or 0.0, frequency or 0.0, bias


def around(prompt: list[int], suffix: str | None, *, taken: bool) -> list[int]:
    """What is continued where a suffix is told. Raises Refused where none is `taken`."""
    if not suffix:
        return prompt
    if not taken:
        raise Refused(400, "suffix is not currently supported", param="suffix")
    text = word_model.decode(prompt)
    return word_model.encode(f"<|fim_prefix|>{text}<|fim_suffix|>{suffix}<|fim_middle|>")


def known_ids(tokens: list[int], errors: str) -> None:
    """Raises Refused for an id that is none, in the words of the server with these `errors`."""
    if not (unknown := _unknown(tokens)):
        return
    size = word_model.VOCABULARY_SIZE
    words = {
        "flat": f"The input_ids {unknown} contains values greater than the vocab size ({size})",
        "no_param": "Prompt contains invalid tokens",
    }
    raise Refused(400, words.get(errors, f"Token id {unknown[0]} is out of vocabulary"))


def sglang_limits(body: Json, max_tokens: int) -> None:
    """Raises Refused for what SGLang 0.5.23 does not take, in its words (recorded)."""
    if max_tokens <= 0:
        words = "Value error, max_tokens must be positive"
        raise Refused(400, VALIDATION.format("max_tokens", words))
    if not isinstance(body.get("json_schema", ""), str):
        raise Refused(400, VALIDATION.format("json_schema", "Input should be a valid string"))
    if (top_p := body.get("top_p", 1.0)) <= 0:
        raise Refused(400, f"top_p must be in (0, 1], got {top_p}.")
    if (count := len(body.get("stop") or ())) > 32:
        raise Refused(400, f"at most 32 stop strings are allowed, got {count}")


def echo_scores(tokens: list[int], asked: int | None, errors: str) -> list[word_model.Position]:
    """Of an echoed prompt: SGLang tells none for logprobs 0."""
    return [] if asked == 0 and errors == "flat" else word_model.scored_prompt(tokens, asked or 0)


def _bias(given: Json | list[tuple[int, float]]) -> Bias:
    """By id: an object, or llama-server's list of pairs."""
    pairs = given.items() if isinstance(given, dict) else given
    return tuple((int(token), float(value)) for token, value in pairs)


def _unknown(tokens: list[int]) -> list[int]:
    return [token for token in tokens if not 0 <= token < word_model.VOCABULARY_SIZE]
