"""A choice over made-up logits: ends, stops, logprobs, replays."""

from typing import Any

import numpy as np
import pytest

from baton.engine.choice import Choice, Vocabulary, score
from baton.engine.prompts import Prepared
from baton.engine.sampling import Floats, Sampling
from baton.semantics.events import Call, Delta

WORDS = [b"a", b"b", b"\xe4\xb8", b"\x96", b"<end>", b"a"]
END = 4


def piece(token: int, special: bool) -> bytes:
    return b"" if token == END and not special else WORDS[token]


def choice(prompt: str = "", **fields: object) -> Choice:
    call = Call(model="m", prompts=[prompt], **{"max_tokens": 10, **fields})  # type: ignore[arg-type]
    prepared = Prepared(ids=[0], text=prompt)
    words = Vocabulary(piece, frozenset({END}))
    return Choice(0, call, prepared, Sampling(temperature=0), words)


def draws(index: int, call: Call, how: Sampling) -> list[int]:
    """What a choice draws from logits that say nothing."""
    made = Choice(index, call, Prepared(ids=[0], text=""), how, Vocabulary(piece, frozenset()))
    for _ in range(20):
        made.accept(made.next(np.zeros(len(WORDS), np.float32)), None)
    return made.ids


def row(*values: float) -> Floats:
    return np.array(values or range(len(WORDS)), np.float32)


def feed(made: Choice, *tokens: int) -> list[Delta]:
    return [made.accept(token, row()) for token in tokens]


def test_the_end_token_is_not_text() -> None:
    """It ends the choice with an empty delta of its own, and counts as generated."""
    made = choice()
    deltas = feed(made, 0, END)
    assert [("a", None), ("", "stop")] == [(d.text, d.finish_reason) for d in deltas]
    assert ([0, END], [[0], [END]]) == (made.ids, [d.token_ids for d in deltas])


def test_prompts_of_one_call_draw_apart_without_a_seed() -> None:
    """Equal prompts have answers of their own; by the caller's seed they have the same ones."""
    call = Call(model="m", prompts=["a", "a"], n=2, max_tokens=20)
    apart = [draws(index, call, Sampling(seed=1, apart=True)) for index in range(4)]
    assert 4 == len({tuple(ids) for ids in apart})
    seeded = [draws(index, call, Sampling(seed=1)) for index in range(4)]
    assert (seeded[:2], True) == (seeded[2:], seeded[0] != seeded[1])


def test_length_rides_on_the_last_text() -> None:
    """No empty delta is needed to say so."""
    made = choice(max_tokens=2)
    left = [made.left]
    deltas = feed(made, 0)
    left.append(made.left)
    deltas += feed(made, 1)
    assert [2, 1, 0] == [*left, made.left]
    assert [("a", None), ("b", "length")] == [(d.text, d.finish_reason) for d in deltas]
    assert [None, None] == [d.score for d in deltas], "nobody asked for one"


@pytest.mark.parametrize(
    ("how", "ids"),
    [
        (Sampling(temperature=0, frequency_penalty=1.0), [0, 0, 1, 0, 1, 0]),
        (Sampling(temperature=0, presence_penalty=2.0), [0, 1, 0, 0, 0, 0]),
        (Sampling(temperature=0), [0, 0, 0, 0, 0, 0]),
    ],
)
def test_each_token_counts_against_itself(how: Sampling, ids: list[int]) -> None:
    """From its first time on, by how often it came, or because it came."""
    call = Call(model="m", prompts=[""], max_tokens=10)
    made = Choice(0, call, Prepared(ids=[0], text=""), how, Vocabulary(piece, frozenset({END})))
    logits = row(2.5, 0.9, -9, -9, -9, -9)
    for _ in ids:
        made.accept(made.next(logits), None)
    assert ids == made.ids


def test_a_stop_ends_with_the_text_before_it() -> None:
    """It rides on the text before it; tokens of the stop have no entries."""
    deltas = feed(choice(stop=["bb"], logprobs=0), 0, 1, 1)
    assert [("a", None), ("", None), ("", "stop")] == [(d.text, d.finish_reason) for d in deltas]
    assert [["a"], [], []] == [d.logprobs.tokens for d in deltas if d.logprobs]


def test_a_half_stop_goes_out_at_the_end() -> None:
    """What might have become a stop is text when generation ends."""
    assert "ab" == "".join(d.text for d in feed(choice(stop=["bb"]), 0, 1, END))


def test_half_a_character_is_never_shown() -> None:
    """Cut by max_tokens, it is left out; its token counts and keeps its entry."""
    deltas = feed(choice(max_tokens=2, logprobs=0), 0, 2)
    assert [("a", None), ("", "length")] == [(d.text, d.finish_reason) for d in deltas]
    assert [["a"], ["bytes:\\xe4\\xb8"]] == [d.logprobs.tokens for d in deltas if d.logprobs]


def test_offsets_count_from_the_prompt() -> None:
    """Code points, also without echo; a character's second token has its offset."""
    deltas = feed(choice("世界", logprobs=0), 0, 2, 3, 1)
    offsets = [at for d in deltas if d.logprobs for at in d.logprobs.text_offset]
    tokens = [word for d in deltas if d.logprobs for word in d.logprobs.tokens]
    assert ([2, 3, 3, 4], ["a", "bytes:\\xe4\\xb8", "bytes:\\x96", "b"]) == (offsets, tokens)


@pytest.mark.parametrize(("echo", "tokens"), [(True, ["<end>"]), (False, [])])
def test_an_immediate_end_counts_where_prompts_are_scored(echo: bool, tokens: list[str]) -> None:
    """With echo the end token has the one entry behind the prompt's; otherwise it has none."""
    (delta,) = feed(choice("x", echo=echo, logprobs=0), END)
    assert delta.logprobs is not None
    assert (tokens, [1] * len(tokens)) == (delta.logprobs.tokens, delta.logprobs.text_offset)


def test_the_score_sums_all_generated_tokens() -> None:
    """Raw logprobs, the end token's included, on the last delta alone."""
    deltas = feed(choice(scored=True), 0, END)
    logprobs = row() - np.log(np.exp(row()).sum())
    assert None is deltas[0].score
    assert float(logprobs[0] + logprobs[END]) == pytest.approx(deltas[1].score)


def test_greedy_logprob_is_bit_equal_to_the_greatest() -> None:
    """The same float in both places: evaluators compare them exactly."""
    values = row(0.1, 3.7, 0.2, 1.1, 0.3, -1)
    for alternatives in (0, 1, 3):
        logprob, top = score(values, 1, alternatives, piece)
        assert logprob == max(top.values())


def test_alternatives_are_exactly_so_many() -> None:
    """The chosen token comes on top when it is not among them; equal texts count once."""
    values = row(5, 1, 2, 3, 0, 4.5)  # ids 0 and 5 are both "a"
    assert ["a", "bytes:\\x96", "bytes:\\xe4\\xb8"] == list(score(values, 0, 3, piece)[1])
    assert ["a", "bytes:\\x96", "b"] == list(score(values, 1, 2, piece)[1])
    assert {"b"} == set(score(values, 1, 0, piece)[1])
    assert 5 == len(score(values, 0, 20, piece)[1])


def test_feeding_ids_again_rebuilds_the_state() -> None:
    """After a replay the next deltas are the same, held text and penalties included."""
    fields: dict[str, Any] = {"stop": ["bb"], "logprobs": 1, "frequency_penalty": 1.0}
    first, second = choice(**fields), choice(**fields)
    tokens = [0, 2, 3, 1]
    feed(first, *tokens)
    for token in tokens:
        second.accept(token, row())
    assert first.next(row()) == second.next(row())
    assert first.accept(0, row()) == second.accept(0, row())
