"""What a request asks of the sampler beside its temperature, as `word_model.Sampling` takes it."""

from typing import Any

from tests.fakes import word_model
from tests.fakes.refused import Refused

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
        words += f" Vocabulary size: {word_model.VOCABULARY_SIZE}"
        words += f" (parameter=logit_bias, value={unknown})"
        raise Refused(400, words, param="logit_bias", late=True)
    return 1.0 if top_p is None else top_p, presence or 0.0, frequency or 0.0, bias


def around(prompt: list[int], suffix: str | None, *, taken: bool) -> list[int]:
    """What is continued where a suffix is told. Raises Refused where none is `taken`."""
    if not suffix:
        return prompt
    if not taken:
        words = "suffix is only supported for models with FIM completion rendering"
        raise Refused(400, words, param="suffix")
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
    raise Refused(400, words.get(errors, f"Token id {unknown[0]} is out of vocabulary"), late=True)


def _bias(given: Json | list[tuple[int, float]]) -> Bias:
    """By id: an object, or llama-server's list of pairs."""
    pairs = given.items() if isinstance(given, dict) else given
    return tuple((int(token), float(value)) for token, value in pairs)


def _unknown(tokens: list[int]) -> list[int]:
    return [token for token in tokens if not 0 <= token < word_model.VOCABULARY_SIZE]
