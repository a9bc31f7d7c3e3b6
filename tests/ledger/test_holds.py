"""A hold and its end as rows: a charge within its hold, costs at the prices of the end."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.costs import NO_COST
from baton.ledger.entries import Intent, Payer, tokens_used
from baton.ledger.holds import Ending, Hold, Outcome
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
    usage = Usage(8, 4, 3)
    row = Ending(hold(), Outcome(usage=usage, upstream="u"), usage, 16, BOOK).row
    assert hold().row == row.hold
    assert (11, True, ("key:key_1",), ()) == (row.hold_seq, row.delivered, row.limited, row.spent)
    assert ("u", 8, 4, 3) == (
        *(row.end.upstream, row.end.prompt_tokens),
        *(row.end.completion_tokens, row.end.cached_tokens),
    )
    assert ((8 * 500 + 4 * 700 + 500) // 1000, 5) == (row.end.cost, row.end.cost_version)
    assert 12 == tokens_used(row.end)


@pytest.mark.parametrize("upstream", ["", "another"])
def test_no_cost_is_set(upstream: str) -> None:
    """Nothing is owed where no price of the upstream is set."""
    end = Ending(hold(), Outcome(usage=Usage(8, 4), upstream=upstream), Usage(8, 4), 16, BOOK).end
    assert (NO_COST.amount, NO_COST.version) == (end.cost, end.cost_version)


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
    """Unknown counts stay unknown."""
    end = Ending(hold(), Outcome(state="released"), None, 0, BOOK).end
    assert (None, None, False) == (end.prompt_tokens, end.cached_tokens, end.estimated)


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
