"""A hold and its end as rows: a charge within its hold, costs at the prices of the end."""

import gc
import weakref

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.entries import EndRow, HoldRow, Intent, Payer, State, Timings, tokens_used
from baton.ledger.holds import Ending, Hold, Outcome
from baton.ledger.journal_log import batch_of
from baton.ledger.prices import PriceBook
from baton.semantics.events import Usage
from baton.stores.base import PriceRecord

PRICE = PriceRecord(version=3, model="m", effective_us=1, input_pico=1_000, output_pico=2_000)
THEIRS = PriceRecord(
    version=5, model="m", effective_us=1, input_pico=500, output_pico=700, upstream="u"
)
BOOK = PriceBook([PRICE, THEIRS])
INTENT = Intent(
    request_id="r",
    payer=Payer("key_1", "key:key_1", ("key:key_1",), ("team:t",)),
    model="m",
    prompt_tokens_max=20,
    completions=1,
    max_tokens=10,
    user="me",
    created_us=7,
)


def hold(amount: int = 40) -> Hold:
    made = Hold(INTENT, PRICE, amount, 0.0)
    made.ticket = 11
    return made


@given(
    worth=st.integers(min_value=0, max_value=100), amount=st.integers(min_value=0, max_value=100)
)
def test_a_charge_never_exceeds_its_hold(worth: int, amount: int) -> None:
    """What is beyond is told as overrun."""
    ending = Ending(hold(amount), Outcome(usage=Usage(5, 6)), Usage(5, 6), worth, BOOK)
    row = ending.row
    assert (min(worth, amount), worth) == (ending.charge, row.end.charge + row.end.overrun)
    assert row.end.charge <= row.hold.hold


def test_rows() -> None:
    """The end stands alone: it has all of its hold, the cost of its upstream, and the counts."""
    usage, held = Usage(8, 4, 3), hold()
    ending = Ending(held, Outcome(usage=usage, upstream="u"), usage, 46, BOOK)
    row = ending.row
    assert HoldRow("r", 7, "key_1", "key:key_1", "team:t", "m", "me", False, 40, 3) == row.hold
    assert held.row == row.hold
    assert (11, True, ("key:key_1",), ()) == (row.hold_seq, row.delivered, row.limited, row.spent)
    assert row.end == EndRow(
        upstream="u",
        state="settled",
        charge=40,
        overrun=6,
        cost=(8 * 500 + 4 * 700 + 500) // 1000,
        prompt_tokens=8,
        cached_tokens=3,
        completion_tokens=4,
        status=200,
        fills="",
        handoffs=0,
        attempts=1,
        cost_version=5,
    )
    assert [12, 12] == [ending.tokens, tokens_used(row.end)]
    assert held.end is None
    held.ending = ending
    assert row.end == held.end


@pytest.mark.parametrize(
    ("scopes", "stored"), [((), ""), (("team:t",), "team:t"), (("team:t", "org:o"), "team:t,org:o")]
)
def test_the_accounts_that_count_a_charge_too(scopes: tuple[str, ...], stored: str) -> None:
    """Are in the row of the hold, each of them."""
    payer = msgspec.structs.replace(INTENT.payer, scopes=scopes)
    made = Hold(msgspec.structs.replace(INTENT, payer=payer), PRICE, 40, 0.0)
    assert stored == made.row.scopes


@pytest.mark.parametrize("upstream", ["", "another"])
def test_no_cost_is_set(upstream: str) -> None:
    """Nothing is owed where no price of the upstream is set."""
    end = Ending(hold(), Outcome(usage=Usage(8, 4), upstream=upstream), Usage(8, 4), 16, BOOK).end
    assert (0, 0) == (end.cost, end.cost_version)


def test_nobody_was_asked() -> None:
    """Nothing is owed for an answer that needed no upstream; its caller pays for what it asked."""
    outcome = Outcome(usage=Usage(8, 0), upstream="u", asked=False)
    end = Ending(hold(), outcome, Usage(8, 0), 8, BOOK).end
    assert (8, 0, 0) == (end.charge, end.cost, end.cost_version)


def test_attempts() -> None:
    """Of several attempts each is a row, at its upstream's price."""
    outcome = Outcome(
        usage=Usage(8, 4), upstream="u", spent=(("u", Usage(8, 2)), ("w", Usage(9, 3)))
    )
    row = Ending(hold(), outcome, Usage(8, 4), 16, BOOK).row
    assert ["u", "w"] == [each.upstream for each in row.spent]
    assert None is row.end.cost_version
    assert row.end.cost == sum(each.cost for each in row.spent)


def test_a_release_uses_nothing() -> None:
    """Whatever its usage says, no token of it counts."""
    ending = Ending(hold(), Outcome(state="released", usage=Usage(8, 4)), Usage(8, 4), 0, BOOK)
    assert (0, 0) == (ending.tokens, ending.charge)


def test_nothing_was_counted() -> None:
    """Unknown counts stay unknown; they count as no tokens, and nothing is owed."""
    ending = Ending(hold(), Outcome(upstream="u"), None, 0, BOOK)
    end = ending.end
    assert (None, None, False) == (end.prompt_tokens, end.cached_tokens, end.estimated)
    assert (0, 0, 0) == (ending.tokens, end.cost, end.cost_version)


counts = st.none() | st.integers(0, 2**40)
USAGES = st.builds(
    Usage,
    prompt_tokens=st.integers(0, 2**40),
    completion_tokens=st.integers(0, 2**40),
    cached_tokens=counts,
    reasoning_tokens=counts,
    cache_write_tokens=counts,
    estimated=st.booleans(),
)
times = st.none() | st.integers(0, 2**40)


@given(
    usage=st.none() | USAGES,
    money=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
    timings=st.builds(Timings, times, times, times, times),
    spent=st.lists(st.tuples(st.sampled_from(["u", "w"]), USAGES), max_size=2),
    state=st.sampled_from(["settled", "released", "interrupted"]),
    user=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)
def test_what_is_stored_is_read_as_the_row(
    usage: Usage | None,
    money: tuple[int, int],
    timings: Timings,
    spent: list[tuple[str, Usage]],
    state: State,
    user: str | None,
) -> None:
    """A log that has the values of an end is read as if it had its row."""
    amount, worth = money
    outcome = Outcome(
        state=state, usage=usage, upstream="u", spent=tuple(spent), timings=timings, status=201,
        error_code="e", finish_reason="stop", fills="n", handoffs=1, attempts=2,
    )  # fmt: skip
    held = Hold(msgspec.structs.replace(INTENT, user=user), PRICE, amount, 0.0)
    held.ticket = 11
    ending = Ending(held, outcome, usage, worth, BOOK)
    values, sound = ending.stored(12)
    begun, plain = held.stored()
    batch = batch_of(msgspec.msgpack.encode(([(11, begun)], (), [values], 0)))
    assert (((11, held.row),), True) == (batch.holds, plain)
    [written], row = batch.ends, ending.row
    assert (12, 11, row.hold, row.end, row.spent) == msgspec.structs.astuple(written)
    assert sound == (not spent)


@pytest.mark.parametrize("number", [-1, 2**63, 2**64, 2**70])
@pytest.mark.parametrize("which", ["amount", "worth", "prompt", "completion", "seq", "created"])
def test_what_may_be_unreadable_is_not_called_sound(number: int, which: str) -> None:
    """No number that a column may not take passes for a sound one."""
    given = {"amount": 40, "worth": 16, "prompt": 8, "completion": 4, "seq": 12, "created": 7}
    assert (True, False) == (_sound(**given), _sound(**given | {which: number}))
    assert _sound(**given | {which: 2**63 - 1})


@pytest.mark.parametrize(("amount", "created_us"), [(-1, 7), (2**63, 7), (40, -1), (40, 2**64)])
def test_what_may_be_unreadable_of_a_hold(amount: int, created_us: int) -> None:
    """As of an end."""
    intent = msgspec.structs.replace(INTENT, created_us=created_us)
    assert not Hold(intent, PRICE, amount, 0.0).stored()[1]
    assert hold().stored()[1]
    assert hold(2**63 - 1).stored()[1]


def _sound(**numbers: int) -> bool:
    usage = Usage(numbers["prompt"], numbers["completion"])
    intent = msgspec.structs.replace(INTENT, created_us=numbers["created"])
    ending = Ending(
        Hold(intent, PRICE, numbers["amount"], 0.0), Outcome(), usage, numbers["worth"], BOOK
    )
    return ending.stored(numbers["seq"])[1]


def test_nothing_is_left_to_the_collector() -> None:
    """A hold and its end are freed by counting: rings would pile up between two collections."""
    made = hold()
    made.ending = Ending(made, Outcome(usage=Usage(5, 6)), Usage(5, 6), 4, BOOK)
    gone = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert gone() is None
    finally:
        gc.enable()
