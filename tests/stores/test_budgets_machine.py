"""Budgets of two windows, lent to two processes while they change, beside a plain model (I2, I8).

Whatever comes in whatever order: what is lent beyond what was lent already fits the budget of that
moment; what one window has the other does not lose; all that fits is lent.
"""

import pathlib
import tempfile
import time

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from baton.stores import windows
from baton.stores.base import BudgetRecord, PartyRecord, Unit
from tests.bookkeeping import new_store

DAY_US = 86_400_000_000
amounts = st.integers(0, 120)
journals = st.integers(1, 2)
units: st.SearchStrategy[Unit] = st.sampled_from(("nano_usd", "tokens"))


class BudgetsMachine(RuleBasedStateMachine):
    """The windows are those of now, and of a day later, which begins while the machine runs."""

    @initialize(amount=amounts, unit=units)
    def begin(self, amount: int, unit: Unit) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = new_store(pathlib.Path(self.folder.name))
        self.limit, self.unit = amount, unit
        party = PartyRecord(id="t", kind="organisation", name="t", budgets=(self.budget(amount),))
        self.store.parties.add(party, "test")
        self.lent: dict[tuple[int, str], int] = {}
        now_us = time.time_ns() // 1000
        self.names = [
            windows.account("organisation:t", self.budget(amount), now_us + day * DAY_US)
            for day in (0, 1)
        ]
        self.opened: dict[str, int] = {}
        """The limit that a window has, once it is open."""

    def budget(self, amount: int) -> BudgetRecord:
        return BudgetRecord(amount=amount, unit=self.unit, span="day", zone="Asia/Kathmandu")

    @rule(journal=journals, window=st.integers(0, 1), want=amounts)
    def lends(self, journal: int, window: int, want: int) -> None:
        name = self.names[window]
        limit = self.opened.setdefault(name, self.limit)
        remaining = max(0, limit - self.leased(name))
        granted = self.store.accounts.lend(journal, {name: want})[name]
        assert min(want, remaining) <= granted <= remaining
        self.lent[journal, name] = self.lent.get((journal, name), 0) + granted

    @rule(journal=journals, window=st.integers(0, 1), part=st.floats(0, 1))
    def returns(self, journal: int, window: int, part: float) -> None:
        name = self.names[window]
        amount = int(self.lent.get((journal, name), 0) * part)
        self.store.accounts.give_back(journal, {name: amount})
        self.lent[journal, name] = self.lent.get((journal, name), 0) - amount

    @rule(amount=amounts)
    def changes(self, amount: int) -> None:
        if amount != self.limit:
            self.store.parties.update("t", "test", budgets=(self.budget(amount),))
            self.limit = amount
            self.opened = dict.fromkeys(self.opened, amount)

    @invariant()
    def book_agrees(self) -> None:
        if hasattr(self, "store"):
            found = self.store.accounts.some(self.names)
            assert {name: self.leased(name) for name in found} == {
                name: record.leased_nano for name, record in found.items()
            }
            assert {name: record.limit_nano for name, record in found.items()} == self.opened

    def leased(self, name: str) -> int:
        return sum(amount for (_, account), amount in self.lent.items() if account == name)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


def test_budgets_machine() -> None:
    """The model and the book agree after every step."""
    case = BudgetsMachine.TestCase
    case.settings = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case("runTest").runTest()
