"""Fill-in-the-middle prompts of each family, and the fill by ranking against a known model."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Usage
from baton.semantics.fim import (
    PREFIX_CHARS_MAX,
    SCORED_TEXTS_MAX,
    SUFFIX_CHARS_MAX,
    TEMPERATURE_MIN,
    TEMPLATES,
    VARIANTS_MAX,
    RankedFill,
    overlap,
    seam,
    suffix_score,
    variants,
)


@pytest.mark.parametrize(
    ("family", "prompt"),
    [
        ("qwen", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
        ("codegemma", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
        ("granite4", "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>"),
        ("starcoder", "<fim_prefix>P<fim_suffix>S<fim_middle>"),
        ("granite3", "<fim_prefix>P<fim_suffix>S<fim_middle>"),
        ("santacoder", "<fim-prefix>P<fim-suffix>S<fim-middle>"),
        ("deepseek", "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>"),
        ("codellama", "<PRE> P <SUF>S <MID>"),
        ("codestral", "[SUFFIX]S[PREFIX]P"),
        ("seed-coder", "<[fim-prefix]>P<[fim-suffix]>S<[fim-middle]>"),
    ],
)
def test_templates(family: str, prompt: str) -> None:
    """To the letter, spaces included: the models know nothing else."""
    assert TEMPLATES[family].prompt("P", "S") == prompt
    assert set(TEMPLATES) >= {family}


def test_marks_in_a_callers_text_are_seen() -> None:
    """As text they would be taken for ours; every mark also ends a middle."""
    for template in TEMPLATES.values():
        assert not template.marked("def f(a, b): return a < b > 0 | 1")
        assert template.marks
        for mark in template.marks:
            assert mark == mark.strip() != ""
            assert template.marked(f"x{mark}y")


texts = st.text("ab\n", max_size=8)


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_overlap_is_the_longest(left: str, right: str) -> None:
    """Against the definition."""
    sizes = [
        k for k in range(len(right) + 1) if k <= len(left) and left[len(left) - k :] == right[:k]
    ]
    assert overlap(left, right) == max(sizes)


@settings(max_examples=300, deadline=None)
@given(texts, texts.filter(bool))
def test_variants_are_beginnings_of_the_candidate(candidate: str, suffix: str) -> None:
    """Few, different, none of them empty-handed: the whole candidate is always one."""
    found = variants(candidate, suffix)
    assert 1 <= len(found) <= VARIANTS_MAX
    assert len(set(found)) == len(found)
    assert all(candidate.startswith(variant) for variant in found)
    assert candidate in found


@pytest.mark.parametrize(
    ("candidate", "suffix", "found"),
    [
        ("a + b", "\n\nprint(1)", ["a + b"]),
        (
            "a + b\n\nprint(1)\n",
            "\n\nprint(1)",
            ["a + b", "a + b\n\nprint(1)\n", "a + b\n\nprint(1)"],
        ),
        ("f(a)", ")", ["f(a", "f(a)"]),
        ("one\ntwo\nthree", "four", ["one\ntwo\nthree", "one\n", "one\ntwo\n"]),
        ("one\ntwo\nthree", "\nfour", ["one\ntwo\nthree", "one", "one\ntwo"]),
        (
            "quick fox jumps over it",
            " jumps over the dog",
            ["quick fox", "quick fox jumps over it"],
        ),
        ("", "x", [""]),
    ],
)
def test_variants_table(candidate: str, suffix: str, found: list[str]) -> None:
    """Repeated suffixes, brackets, line ends on either side."""
    assert variants(candidate, suffix) == found


def test_a_short_mark_is_no_sign_of_repetition() -> None:
    """One bracket somewhere in a candidate says nothing; at its end it may."""
    assert seam("f(a) + g(b", ")") == len("f(a) + g(b")
    assert seam("f(a)", ")") == 3


def test_what_counts_as_the_suffixs_score() -> None:
    """Tokens that begin in the suffix, per character covered; the first null and others do not."""
    logprobs = Logprobs(
        ["On", "ce u", "p a", " t"], [None, -9.0, -3.0, -1.0], [None] * 4, [0, 2, 6, 9]
    )
    assert suffix_score(logprobs, 6, 11) == (-4.0 / 5, 2)
    assert suffix_score(logprobs, 5, 11) == (-4.0 / 5, 2)
    assert suffix_score(logprobs, 7, 11) == (-1.0 / 2, 1)
    assert suffix_score(logprobs, 6, 9) == (-3.0 / 3, 1)
    assert suffix_score(logprobs, 20, 30) == (-math.inf, 0)
    assert suffix_score(Logprobs([], [], [], []), 0, 1) == (-math.inf, 0)


CALL = Call(
    model="theirs",
    prompts=["The quick", "Once upon"],
    max_tokens=9,
    n=3,
    suffix=" dog",
    temperature=0.0,
    stop=["!"],
    logprobs=1,
    echo=False,
    tenant="k",
    user="u",
)


def scored(call: Call, liked: str) -> list[Delta]:
    """An upstream that finds a suffix the likelier the more of `liked` stands right before it."""
    deltas = []
    for index, prompt in enumerate(call.prompts):
        assert isinstance(prompt, str)
        at = prompt.rindex(" dog")
        value = -5.0 + overlap_score(prompt[:at], liked)
        tokens = [*prompt[:at], " do", "g"]
        offsets = [*range(at), at, at + 3]
        values: list[float | None] = [None, *[-1.0] * (at - 1), value, value]
        half = len(tokens) // 2
        for part in (slice(0, half), slice(half, None)):
            lists = Logprobs(tokens[part], values[part], [None] * len(tokens[part]), offsets[part])
            deltas.append(Delta(index, "".join(tokens[part]), None, lists))
        deltas.append(Delta(index, "", "length"))
    return deltas


def overlap_score(text: str, liked: str) -> float:
    return float(max(k for k in range(len(liked) + 1) if text.endswith(liked[len(liked) - k :])))


def candidates() -> list[Delta]:
    """Three continuations of each of the two prompts, in pieces."""
    whole: list[tuple[int, str, FinishReason]] = [
        (0, " lazy", "length"),
        (1, " brown fox dog", "length"),
        (2, " red", "stop"),
        (3, " a", "length"),
        (4, " time", "length"),
        (5, " brown fox", "stop"),
    ]
    first = [Delta(index, text[:2]) for index, text, _ in whole]
    return first + [Delta(index, text[2:], reason) for index, text, reason in whole]


def test_the_first_call_knows_nothing_of_the_suffix() -> None:
    """Candidates are sampled warm enough to differ, from a fixed seed at temperature 0."""
    first = RankedFill(CALL, 1).first_call()
    assert (first.suffix, first.echo, first.logprobs, first.stream) == (None, False, None, False)
    assert (first.temperature, first.seed, first.n) == (TEMPERATURE_MIN, 0, 3)
    assert (first.stop, first.max_tokens, first.prompts) == (["!"], 9, CALL.prompts)
    hot = msgspec.structs.replace(CALL, temperature=1.5, seed=7)
    assert (RankedFill(hot, 1).first_call().temperature, hot.seed) == (1.5, 7)
    assert RankedFill(hot, 1).first_call().seed == 7
    seeded = RankedFill(msgspec.structs.replace(CALL, seed=7, stream=True), 1).first_call()
    assert (seeded.temperature, seeded.seed, seeded.stream) == (TEMPERATURE_MIN, 7, False)
    free = msgspec.structs.replace(CALL, temperature=1.0)
    assert RankedFill(free, 1).first_call().seed is None
    single = msgspec.structs.replace(CALL, n=1)
    assert RankedFill(single, 1).first_call().temperature == 0.0


def test_the_scoring_call_asks_for_scores_alone() -> None:
    """Every variant before the suffix's beginning, echoed with logprobs, nothing generated."""
    call = RankedFill(CALL, 1).scoring_call(candidates())
    assert (call.max_tokens, call.echo, call.logprobs, call.n) == (0, True, 0, 1)
    assert (call.temperature, call.seed, call.stream) == (0.0, None, False)
    assert (call.model, call.tenant, call.user, call.stop) == ("theirs", "k", "u", None)
    assert call.prompts == [
        "The quick lazy dog",
        "The quick brown fox dog",
        "The quick red dog",
        "The quick brown fox dog dog",
        "Once upon a dog",
        "Once upon time dog",
        "Once upon brown fox dog",
    ]


def test_the_likeliest_suffix_wins() -> None:
    """One choice for each prompt, cut where it repeated the suffix; usage has the suffix once."""
    fill = RankedFill(CALL, 1)
    scoring = fill.scoring_call(candidates())
    best = fill.best(scored(scoring, " brown fox"))
    assert best == [Delta(0, " brown fox", "stop"), Delta(1, " brown fox", "stop")]
    assert fill.usage(Usage(10, 20)) == Usage(10 + 2 * 2, 20)
    assert fill.best(scored(scoring, " brown fox")) == best
    assert fill.usage(Usage(10, 20)) == Usage(14, 20)


def test_n_choices_are_n_different_candidates() -> None:
    """Never two variants of one candidate; equals keep their order; indexes are the request's."""
    fill = RankedFill(CALL, 2)
    best = fill.best(scored(fill.scoring_call(candidates()), "d"))
    assert best == [
        Delta(0, " red", "stop"),
        Delta(1, " lazy", "length"),
        Delta(2, " a", "length"),
        Delta(3, " time", "length"),
    ]


def test_an_answer_without_scores_still_gives_choices() -> None:
    """An upstream that told nothing leaves the candidates in their order."""
    fill = RankedFill(CALL, 1)
    fill.scoring_call(candidates())
    assert [delta.text for delta in fill.best([])] == [" lazy", " a"]
    assert fill.usage(Usage(1, 1)) == Usage(1, 1)


def test_of_equal_variants_the_first_named_wins() -> None:
    """A candidate that repeats the suffix is cut where nothing speaks for leaving it whole."""
    fill = RankedFill(msgspec.structs.replace(CALL, prompts=["f("], n=1, suffix=")"), 1)
    fill.scoring_call([Delta(0, "a)", "length")])
    assert fill.best([]) == [Delta(0, "a", "stop")]


def test_what_is_scored_is_bounded() -> None:
    """Long texts are cut near the hole, and many variants to a fixed number of texts a choice."""
    call = msgspec.structs.replace(CALL, prompts=["x" * 5000], suffix="s" * 5000, n=20)
    lines = [Delta(index, f"{index}\n{index}\n{index}", "length") for index in range(20)]
    for n, count in ((1, 20), (4, SCORED_TEXTS_MAX * 4)):
        scoring = RankedFill(call, n).scoring_call(lines)
        assert len(scoring.prompts) == count
        longest = PREFIX_CHARS_MAX + SUFFIX_CHARS_MAX + max(len(d.text) for d in lines)
        assert max(len(prompt) for prompt in scoring.prompts) <= longest


def test_a_candidate_that_never_came_is_empty() -> None:
    """A choice without a delta is an empty candidate, no failure."""
    fill = RankedFill(msgspec.structs.replace(CALL, prompts=["The quick"], n=1), 1)
    assert fill.scoring_call([]).prompts == ["The quick dog"]
