"""Answers that are cut by us."""

from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.cut import Cutter, tokens_of
from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Prompt, Usage
from baton.semantics.logprobs import join

STOPS = ["ab", "bb", "c\n"]


def call(prompts: list[Prompt] | None = None, *, n: int = 1, **fields: bool | int) -> Call:
    return Call(model="m", prompts=prompts or ["p"], max_tokens=9, n=n, **fields)  # type: ignore[arg-type]


def positions(pieces: list[str], offset: int) -> Logprobs:
    """A token for each piece, with a logprob that tells them apart."""
    found = Logprobs([], [], [], [])
    for number, piece in enumerate(pieces):
        found.tokens.append(piece)
        found.token_logprobs.append(-float(number + 1))
        found.top_logprobs.append({piece: -float(number + 1)})
        found.text_offset.append(offset)
        offset += len(piece)
    return found


def grouped(pieces: list[str], sizes: list[int], offset: int) -> list[Delta]:
    """The pieces as deltas of so many tokens each; the last one has the finish."""
    whole = positions(pieces, offset)
    deltas, at = [], 0
    for size in [*sizes, len(pieces)]:
        some = slice(at, at + size)
        logprobs = Logprobs(
            whole.tokens[some],
            whole.token_logprobs[some],
            whole.top_logprobs[some],
            whole.text_offset[some],
        )
        deltas.append(Delta(0, "".join(pieces[some]), logprobs=logprobs))
        at += size
    deltas[-1].finish_reason = "length"
    return deltas


def shown(deltas: list[Delta]) -> tuple[str, FinishReason | None, list[str]]:
    """Text, finish and tokens of a choice whose finish is on its last delta."""
    assert [None] * (len(deltas) - 1) == [delta.finish_reason for delta in deltas[:-1]]
    tokens = join([d.logprobs for d in deltas if d.logprobs is not None] or [positions([], 0)])
    return "".join(d.text for d in deltas), deltas[-1].finish_reason, tokens.tokens


def first_stop(text: str) -> int:
    """Where the stop that is complete first begins; of equals the longest."""
    ends = [(text.find(s) + len(s), text.find(s)) for s in STOPS if s in text]
    return min(ends)[1] if ends else len(text)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text("abc\n", min_size=1, max_size=3), min_size=1, max_size=9),
    st.lists(st.integers(0, 3), max_size=9),
    st.booleans(),
)
def test_a_cut_does_not_depend_on_the_chunks(
    pieces: list[str], sizes: list[int], echo: bool
) -> None:
    """The text ends before the first stop, never inside the echo; the tokens are those that begin
    in it; whatever came behind is dropped."""
    prompt = "ab" if echo else "xx"
    cutter = Cutter(call([prompt], echo=echo, logprobs=1), STOPS, None)
    given_pieces = ["a", "b", *pieces] if echo else pieces
    found: list[Delta] = []
    for delta in grouped(given_pieces, sizes, 0 if echo else 2):
        found += cutter.feed([delta])
    text, reason, tokens = shown(found)
    generated = "".join(pieces)
    end = first_stop(generated)
    assert (prompt if echo else "") + generated[:end] == text
    assert ("stop" if end < len(generated) else "length") == reason
    starts = [sum(map(len, pieces[:number])) for number in range(len(pieces))]
    kept = [piece for piece, start in zip(pieces, starts, strict=True) if start < end]
    assert (["a", "b", *kept] if echo else kept) == tokens


def test_the_rest_is_not_waited_for() -> None:
    """Once every choice has ended for us and one goes on upstream; not where all ended there."""
    cutter = Cutter(call(n=2), ["x"], None)
    over = [cutter.over]
    assert [Delta(0, "a", "stop")] == cutter.feed([Delta(0, "ax")])
    over.append(cutter.over)
    assert [] == cutter.feed([Delta(0, "more")])
    assert 1 == cutter.dropped
    assert [Delta(1, "b", "stop")] == cutter.feed([Delta(1, "bx")])
    assert [False, False, True] == [*over, cutter.over]
    together = Cutter(call(n=2), ["x"], None)
    deltas = [Delta(0, "ax"), Delta(0, "more"), Delta(1, "bx")]
    assert [Delta(0, "a", "stop"), Delta(1, "b", "stop")] == together.feed(deltas)
    whole = Cutter(call(), ["x"], None)
    whole.feed([Delta(0, "a", "stop")])
    assert not whole.over


def test_a_stop_over_chunks_is_held_back() -> None:
    """Only what could be a stop waits; it comes out when it is none."""
    cutter = Cutter(call(), ["abc"], None)
    assert ["z"] == [d.text for d in cutter.feed([Delta(0, "zab")])]
    assert [Delta(0, "abx")] == cutter.feed([Delta(0, "x")])
    assert [] == cutter.feed([Delta(0, "a")])
    assert [Delta(0, "a", "stop")] == cutter.feed([Delta(0, "", "stop")])


def test_max_tokens_ends_a_choice() -> None:
    """What comes beyond is dropped; the upstream's own finish in time is kept."""
    cutter = Cutter(call(), (), 2)
    given_deltas = [Delta(0, "a"), Delta(0, "b"), Delta(0, "c"), Delta(0, "d")]
    assert [("a", None), ("b", None), ("", "length")] == [
        (d.text, d.finish_reason) for d in cutter.feed(given_deltas)
    ]
    assert cutter.over
    assert Usage(5, 2, estimated=True) == cutter.kept(Usage(5, 4))
    assert Usage(5, 2, estimated=True) == cutter.kept(Usage(5, 2)), "counted by us, up to the limit"
    assert [None, "stop"] == [
        d.finish_reason for d in Cutter(call(), (), 2).feed([Delta(0, "ab"), Delta(0, "", "stop")])
    ]


def test_a_held_text_is_shown_at_max_tokens() -> None:
    """It was no stop."""
    cutter = Cutter(call(), ["abc"], 1)
    assert [] == cutter.feed([Delta(0, "ab")])
    assert [Delta(0, "ab", "length")] == cutter.feed([Delta(0, "c")])


def test_no_tokens_leave_the_prompt_alone() -> None:
    """Of text and of ids, in one delta or in many: its tokens to the last one, nothing generated,
    nothing counted, and one finish."""
    for prompt in ("pq", [7, 8]):
        for sizes in ([], [1], [2], [1, 1]):
            cutter = Cutter(call([prompt], echo=True, logprobs=0), (), 0)
            found = [
                each
                for delta in grouped(["p", "q", "x"], sizes, 0)
                for each in cutter.feed([delta])
            ]
            assert ("pq", "length", ["p", "q"]) == shown(found), (prompt, sizes)
            assert Usage(2, 0) == cutter.kept(Usage(2, 1))


def test_an_end_without_text_is_dropped_too() -> None:
    """The one token may be the end of the text."""
    cutter = Cutter(call(["pq"], echo=True, logprobs=0), (), 0)
    deltas = grouped(["pq", ""], [1], 0)
    assert ("pq", "length", ["pq"]) == shown(cutter.feed(deltas))


def test_what_is_cut_is_scored_by_what_is_left() -> None:
    """The upstream's own score would have the tokens behind the cut in it."""
    cutter = Cutter(call(logprobs=0, scored=True), ["x"], None)
    [delta] = cutter.feed(grouped(["a", "b", "x", "c"], [], 1))
    assert (-3.0, 2) == (delta.score, delta.scored_tokens)
    for scored, score in ((True, -3.0), (False, None)):
        apart = Cutter(call(logprobs=0, scored=scored), ["x"], None)
        found = [each for d in grouped(["a", "b", "x"], [1, 1], 1) for each in apart.feed([d])]
        assert ("ab", "stop", ["a", "b"]) == shown(found)
        assert (score, 2) == (found[-1].score, found[-1].scored_tokens)
    whole = Cutter(call(logprobs=0, scored=True), ["x"], None)
    [delta] = whole.feed([Delta(0, "a", "stop", positions(["a"], 1), score=-9.0, scored_tokens=3)])
    assert (-9.0, 3) == (delta.score, delta.scored_tokens)


def test_a_token_that_has_no_logprob_scores_nothing() -> None:
    """Only the others are summed and counted."""
    cutter = Cutter(call(logprobs=0, scored=True), ["x"], None)
    logprobs = Logprobs(["a", "b", "x"], [None, -2.0, -3.0], [None, {}, {}], [1, 2, 3])
    [delta] = cutter.feed([Delta(0, "abx", logprobs=logprobs)])
    assert ("ab", -2.0, 1) == (delta.text, delta.score, delta.scored_tokens)


def test_a_prompt_of_ids_has_no_length_in_text() -> None:
    """Unless it is echoed: offsets begin with the generated text."""
    cutter = Cutter(call([[7, 8, 9]], logprobs=0), ["xy"], None)
    [delta] = cutter.feed([Delta(0, "ax", logprobs=positions(["a", "x"], 0))])
    assert Delta(0, "a", logprobs=positions(["a"], 0)) == delta
    [delta] = cutter.feed([Delta(0, "z", "length", positions(["z"], 2))])
    assert ("xz", ["x", "z"]) == (delta.text, delta.logprobs and delta.logprobs.tokens)


def test_an_echo_without_logprobs_is_as_long_as_the_prompt() -> None:
    """No stop is looked for in it, none of its tokens counts; ids are those of what follows it."""
    cutter = Cutter(call(["xp"], echo=True), ["x"], None)
    assert [Delta(0, "x")] == cutter.feed([Delta(0, "x")])
    assert [Delta(0, "p"), Delta(0, "a")] == cutter.feed([Delta(0, "pa")])
    assert [Delta(0, "b", "stop")] == cutter.feed([Delta(0, "bx")])
    for first in (
        [Delta(0, "p", token_ids=[]), Delta(0, "ab", token_ids=[1, 2])],
        [Delta(0, "pab", token_ids=[1, 2])],
    ):
        counted = Cutter(call(["p"], echo=True), (), 3)
        rest = [Delta(0, "c", token_ids=[3]), Delta(0, "d", token_ids=[4])]
        assert ("pabc", "length", []) == shown(counted.feed([*first, *rest]))


def test_a_delta_of_nothing_is_nothing_of_an_echo() -> None:
    """As servers send before the first token."""
    cutter = Cutter(call([[7]], echo=True, logprobs=0), ["x"], None)
    found = cutter.feed([Delta(0, ""), *grouped(["p", "a", "x"], [1], 0)])
    assert ("pa", "stop", ["p", "a"]) == shown(found)


def test_the_usage_stays_where_nothing_was_cut() -> None:
    """It is the upstream's own count, not an estimate."""
    cutter = Cutter(call(), ["x"], 9)
    cutter.feed([Delta(0, "ab"), Delta(0, "", "length")])
    assert Usage(5, 4) == cutter.kept(Usage(5, 4))


def test_tokens_of_a_delta() -> None:
    """Its ids, its logprobs, else one where it has text."""
    assert 2 == tokens_of(Delta(0, "", token_ids=[1, 2]))
    assert 3 == tokens_of(Delta(0, "abc", logprobs=positions(["a", "b", "c"], 0)))
    assert [1, 0] == [tokens_of(Delta(0, text)) for text in ("abc", "")]
