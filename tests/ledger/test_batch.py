"""What one transaction of a journal writes."""

from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.batch import Batch, Told
from baton.ledger.entries import EndRow, HoldRow, SettleRow
from baton.stores.base import StoreUnavailable

HOLD = HoldRow("r", 1, "key_1", "key:key_1", "", "m", None, False, 30, 1)


def end(hold_seq: int) -> SettleRow:
    return SettleRow(hold_seq, HOLD, EndRow(state="settled"))


def nobody(error: StoreUnavailable | None) -> None:
    raise AssertionError(error)


def test_an_end_stands_for_a_hold_that_is_here() -> None:
    """Such a hold goes; one that is on disk has its end beside it. Both have their tickets."""
    batch = Batch(5)
    short = batch.hold(HOLD)
    kept = batch.hold(HOLD)
    here, earlier = end(short), end(3)
    assert (5, 6, 7, 8) == (short, kept, batch.end(here), batch.end(earlier))
    assert ({kept: HOLD}, {7: here, 8: earlier}, 3) == (batch.holds, batch.ends, batch.rows)
    assert (True, False) == (batch.stood_for(here), batch.stood_for(earlier))
    assert dict.fromkeys([5, 6, 7, 8], "full") == batch.failed("full")


def test_who_waits_is_told_in_order_and_once() -> None:
    batch = Batch(1)
    others: list[StoreUnavailable | None] = []
    batch.waiting += [(3, nobody), (1, others.append), (3, others.append)]
    assert [(1, others.append), (3, nobody), (3, others.append)] == batch.take_waiting()
    assert [] == batch.take_waiting()


@given(
    kinds=st.lists(st.sampled_from(["hold", "end", "end of the last"]), max_size=30),
    rows_max=st.integers(min_value=1, max_value=32),
)
def test_a_split_loses_nothing(kinds: list[str], rows_max: int) -> None:
    """Two runs of tickets, one behind the other, with the same rows and waiters between them."""
    whole, batch = Batch(10), Batch(10)
    told: list[Told] = []
    for kind in kinds:
        for each in (whole, batch):
            ticket = (
                each.hold(HOLD)
                if kind == "hold"
                else each.end(end(each.last if "of" in kind else 1))
            )
            each.waiting.append((ticket, told.append))  # type: ignore[arg-type]
    rest = batch.split(rows_max)
    assert (10, whole.last) == (batch.first, rest.last)
    assert batch.last + 1 == rest.first
    assert (batch.rows, rest.rows) == (min(rows_max, whole.rows), max(0, whole.rows - rows_max))
    assert whole.holds == batch.holds | rest.holds
    assert whole.ends == batch.ends | rest.ends
    assert whole.waiting == batch.waiting + rest.waiting
    for part in (batch, rest):
        tickets = [*part.holds, *part.ends, *(ticket for ticket, _ in part.waiting)]
        assert all(part.first <= ticket <= part.last for ticket in tickets)
