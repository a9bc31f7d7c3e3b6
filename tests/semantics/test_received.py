"""However deltas are put away, one by one or many at once, the same was received."""

from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Logprobs
from baton.semantics.received import FRESH_MAX, Received

CALL = Call(model="m", prompts=["ab"], max_tokens=999, stream=True)
TEXTS = st.text(max_size=3)
IDS = st.none() | st.lists(st.integers(0, 9), max_size=2)
WAYS = ("added", "appended", "asked")
DELTAS = st.lists(st.builds(Delta, st.just(0), TEXTS, st.none(), st.none(), IDS), max_size=99)


def state(received: Received) -> tuple[object, ...]:
    kept = received.choices.get(0)
    if kept is None:
        return ()
    return (
        received.text(0),
        received.token_ids(0),
        (kept.synced, kept.untold, kept.deltas, kept.echoed, kept.finish_reason),
    )


@given(DELTAS, st.booleans(), st.integers(1, FRESH_MAX))
def test_put_away_at_any_time(deltas: list[Delta], echo: bool, every: int) -> None:
    """Asking in between puts away what there is: nothing else may change by it."""
    call = CALL if not echo else Call(model="m", prompts=["ab"], max_tokens=9, echo=True)
    at_once, in_parts, by_one = Received(call), Received(call), Received(call)
    if deltas:
        at_once.add(deltas)
    for number, delta in enumerate(deltas):
        in_parts.add([delta])
        by_one.add([delta])
        _ = by_one.choices
        if number % every == 0:
            _ = in_parts.choices
    assert state(at_once) == state(in_parts) == state(by_one)


def test_texts_alone_are_put_away_at_once() -> None:
    """And counted as one by one: each is a token."""
    received = Received(CALL)
    for number in range(5 * FRESH_MAX):
        received.add([Delta(0, "\u00e9" if number % 2 else "b")])
    kept = received.choices[0]
    assert (5 * FRESH_MAX, 5 * FRESH_MAX) == (kept.untold, kept.deltas)
    assert "b\u00e9" * (5 * FRESH_MAX // 2) == received.text(0)


def test_too_much_is_given_up_also_at_once() -> None:
    """The limit is of bytes, not of letters."""
    received = Received(CALL, bytes_max=4 * FRESH_MAX)
    for _ in range(3 * FRESH_MAX):
        received.add([Delta(0, "\u00e9\u00e9")])
    assert not received.resumable
    assert not received.choices


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.sampled_from(WAYS))))
def test_texts_that_are_appended(texts: list[tuple[str, str]]) -> None:
    """They are received as deltas are, whoever is asked in between, and counted."""
    by_list, by_delta, appended = Received(CALL), Received(CALL), 0
    for text, way in texts:
        by_delta.add([Delta(0, text)])
        if way == "added":
            by_list.add([Delta(0, text)])
            continue
        by_list.texts.append(text)
        appended += 1
        if way == "asked":
            assert appended == by_list.count_texts()
    assert appended == by_list.count_texts()
    assert state(by_delta) == state(by_list)
    if texts:
        assert "".join(text for text, _ in texts) == by_list.text(0)
        assert len(texts) == by_list.choices[0].tokens


def test_too_much_is_given_up_of_appended_texts() -> None:
    """To the byte; they are still counted."""
    received = Received(CALL, bytes_max=4)
    kept = []
    for text in ("\u00e9", "\u00e9", "x", "y"):
        received.texts.append(text)
        kept.append(received.resumable)
        assert (received.resumable, len(kept)) == (0 in received.choices, received.count_texts())
    assert [True, True, False, False] == kept


def test_where_a_choice_is_counted_from() -> None:
    """The first offset that was told, though a delta before told none."""

    def at(*offsets: int) -> Delta:
        count = len(offsets)
        logprobs = Logprobs(["x"] * count, [-1.0] * count, [{}] * count, list(offsets))
        return Delta(0, "x" * count, logprobs=logprobs)

    received = Received(CALL)
    received.add([at(), at(5, 6), at(9)])
    assert 5 == received.choices[0].first_offset


def test_an_end_stays_the_end() -> None:
    """Whatever follows it."""
    received = Received(CALL)
    received.add([Delta(0, "x", "stop"), Delta(0, "")])
    assert "stop" == received.choices[0].finish_reason


def test_more_than_nothing() -> None:
    """Tokens that are told before anything came are nobody's."""
    received = Received(CALL)
    received.more_came(3)
    assert {} == received.choices
