"""Checks of the legacy logprobs object: lists, offsets, exactness, whole and streamed."""

import math
from typing import Any

from tests.conformance.cases import Exchange
from tests.conformance.expecting import (
    choices_of,
    expect,
    logprobs_of,
    streamed_choices,
    usage_of,
)

NEAR = 1e-3
"""Two computations of one logprob in different batches may differ by so much."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < NEAR


def lp(seen: Exchange, alternatives: int) -> None:
    """Every token has a logprob and stands among its alternatives: one more than asked at most."""
    for choice in choices_of(seen.answer):
        found = logprobs_of(choice)
        expect(found["tokens"], "no tokens")
        rows = zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True)
        for token, logprob, top in rows:
            expect(_is_number(logprob) and logprob <= 1e-6, f"logprob {logprob}")
            expect(token in top and len(top) <= alternatives + 1, f"{token!r} {top}")


def lp_top_exact(seen: Exchange, alternatives: int) -> None:
    """Greedy: the chosen token is the best, so there are exactly as many entries as asked."""
    for top in logprobs_of(choices_of(seen.answer)[0])["top_logprobs"]:
        expect(len(top) == max(1, alternatives), f"{len(top)} entries: {top}")
        expect(list(top.values()) == sorted(top.values(), reverse=True), f"not by rank: {top}")


def lp_join(seen: Exchange) -> None:
    """The tokens join to the text (or to more, where a stop string cut it)."""
    for choice in choices_of(seen.answer):
        joined = "".join(logprobs_of(choice)["tokens"])
        cut = joined.startswith(choice["text"]) and choice["finish_reason"] == "stop"
        expect(joined == choice["text"] or cut, f"{joined!r} against {choice['text']!r}")


def lp_offset_prompt(seen: Exchange) -> None:
    """Without echo the first offset is the prompt's length in code points; tokens follow on."""
    found = logprobs_of(choices_of(seen.answer)[0])
    offset = len(seen.body["prompt"])
    for token, told in zip(found["tokens"], found["text_offset"], strict=True):
        expect(told == offset, f"{token!r} at {told}, want {offset}")
        offset += len(token)


def lp_offset_echo(seen: Exchange) -> None:
    """With echo offsets start at 0, and each token begins where the one before ended."""
    found = logprobs_of(choices_of(seen.answer)[0])
    offset = 0
    for token, told in zip(found["tokens"], found["text_offset"], strict=True):
        expect(told == offset, f"{token!r} at {told}, want {offset}")
        offset += len(token)


def lp_echo(seen: Exchange) -> None:
    """With echo the first entry has no logprob; all others have one."""
    for choice in choices_of(seen.answer):
        found = logprobs_of(choice)
        expect(found["token_logprobs"][0] is None, "the first token has a logprob")
        expect(found["top_logprobs"][0] is None, "the first token has alternatives")
        expect(found["text_offset"][0] == 0, f"the first offset is {found['text_offset'][0]}")
        expect(all(_is_number(value) for value in found["token_logprobs"][1:]), "later nulls")


def lp_len_prompt(seen: Exchange) -> None:
    tokens = logprobs_of(choices_of(seen.answer)[0])["tokens"]
    expect(len(tokens) == usage_of(seen.answer)["prompt_tokens"], f"{len(tokens)} entries")


def lp_len_prompt_plus1(seen: Exchange) -> None:
    """lm-eval slices [context:-1]: one entry less silently drops a real token."""
    tokens = logprobs_of(choices_of(seen.answer)[0])["tokens"]
    usage = usage_of(seen.answer)
    expect(len(tokens) == usage["prompt_tokens"] + 1, f"{len(tokens)} entries, {usage}")


def lp_greedy_exact(seen: Exchange) -> None:
    """Greedy: a token's logprob is the very float that is greatest among the alternatives."""
    found = logprobs_of(choices_of(seen.answer)[0])
    start = usage_of(seen.answer)["prompt_tokens"] if seen.body.get("echo") else 0
    pairs = zip(found["token_logprobs"][start:], found["top_logprobs"][start:], strict=True)
    expect(all(value == max(top.values()) for value, top in pairs), "not the same float")


def lp_batch_invariant(seen: Exchange) -> None:
    """Two prompts with one beginning: what they share has the same logprobs."""
    one, other = (logprobs_of(choice)["token_logprobs"] for choice in choices_of(seen.answer))
    shared = len(seen.body["prompt"][0])
    pairs = zip(one[1:shared], other[1:shared], strict=True)
    expect(all(_near(left, right) for left, right in pairs), f"{one[:shared]} {other[:shared]}")


def lp_as_alone(seen: Exchange) -> None:
    """Each prompt of the array has bit for bit the logprobs that it has alone."""
    for prompt, choice in zip(seen.body["prompt"], choices_of(seen.answer), strict=True):
        alone = logprobs_of(choices_of(seen.again({"prompt": prompt}))[0])
        expect(logprobs_of(choice) == alone, f"{prompt!r}: {logprobs_of(choice)} against {alone}")


def lp_repeats(seen: Exchange) -> None:
    """The same request again gives bit for bit the same logprobs."""
    first = [logprobs_of(choice) for choice in choices_of(seen.answer)]
    again = [logprobs_of(choice) for choice in choices_of(seen.again())]
    expect(first == again, f"{first} against {again}")


def lp_sums_to_one(seen: Exchange) -> None:
    """The alternatives are probabilities: together no more than 1, and most of it with twenty."""
    for top in logprobs_of(choices_of(seen.answer)[0])["top_logprobs"]:
        total = sum(math.exp(value) for value in top.values())
        expect(0.05 < total <= 1 + 1e-4, f"they sum to {total}")


def lp_none(seen: Exchange) -> None:
    expect(all(choice["logprobs"] is None for choice in choices_of(seen.answer)), "not null")


def stream_lp_matches(seen: Exchange) -> None:
    """The logprobs of a stream, joined, are those of the whole answer."""
    whole = {choice["index"]: logprobs_of(choice) for choice in choices_of(seen.whole())}
    for index, want in whole.items():
        got = _joined(seen, index)
        expect(got["tokens"] == want["tokens"], f"{got['tokens']} against {want['tokens']}")
        expect(got["text_offset"] == want["text_offset"], f"{got['text_offset']}")
        pairs = zip(got["token_logprobs"], want["token_logprobs"], strict=True)
        expect(all(_near(left, right) for left, right in pairs), f"{got} against {want}")


def _joined(seen: Exchange, index: int) -> dict[str, list[Any]]:
    joined: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "text_offset": []}
    for choice in streamed_choices(seen.answer):
        if choice["index"] == index and choice.get("logprobs"):
            for name, values in joined.items():
                values.extend(choice["logprobs"][name])
    return joined


def stream_lp_join(seen: Exchange) -> None:
    """In every chunk with logprobs the four lists are there and equally long."""
    for choice in streamed_choices(seen.answer):
        expect("logprobs" in choice, f"no logprobs key: {choice}")
        if choice["logprobs"] is not None:
            logprobs_of(choice)
