"""Two processes on one book, driven through failures, crashes and folds beside a plain model.

The oracle is what each journal file took: a row that `append` wrote is on the ledger for ever, any
other is not. Names as in the invariants: I1 conservation, I2 cap, I3 one terminal state, I4
acknowledged ⇔ durable, I5 entries sum to zero, I6 charges can be recomputed, I8 leases and charges
never exceed the limit, I12 nothing stays open after a restart.
"""

import asyncio
import collections
import itertools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text

from baton.errors import RequestError
from baton.ledger.entries import Intent
from baton.ledger.fold import fold_all
from baton.ledger.holds import Hold, Outcome
from baton.ledger.prices import bound
from baton.stores import audit
from baton.stores.base import KeyRecord
from tests.bookkeeping import PRICE, TOLD, intent, outcome
from tests.ledger.machine_books import FileBook, ServerBook, fast_folder
from tests.ledger.machine_process import Process

ROUNDS_MAX = 3
QUICK_RUNS = 200
LONG_RUNS = int(os.environ.get("BATON_MACHINE_RUNS", "1000"))
MANY = pytest.param(LONG_RUNS, marks=pytest.mark.soak, id="long")
STATES = st.sampled_from(["settled", "released", "interrupted"])
which = st.integers(0, 1_000)
ENDS = st.tuples(which, st.integers(0, 150), STATES, st.booleans())
TROUBLES = ("fold", "", "stall", "break", "stall")
"""What comes with ends. A stall twice: with one, 200 lives saw 21 ends in a stall or 108, as it
fell out, and were lived again for too few."""


class LedgerMachine(RuleBasedStateMachine):
    """Rules of one argument and early names are tried most: requests arrive and are answered."""

    book: ClassVar[FileBook | ServerBook] = FileBook()
    seen: ClassVar[collections.Counter[str]] = collections.Counter()
    processes: Sequence[Process] = ()

    @initialize(limit=st.integers(0, 400))
    def start(self, limit: int) -> None:
        self.home = pathlib.Path(tempfile.mkdtemp(dir=fast_folder()))
        self.loop = asyncio.new_event_loop()
        self.store, self.keys = self.book.open(self.home, limit)
        self.processes = [Process(self.store, self.loop) for _ in range(2)]
        self.numbers = itertools.count()
        self.past: dict[str, tuple[str, int]] = {}

    def held(self, key: KeyRecord) -> int:
        """What a key's living requests may still spend, and its ended ones did (I2)."""
        rows = {**self.past}
        total = 0
        for process in self.processes:
            alive = {hold.row.request_id for hold in process.holds}
            total += sum(h.amount for h in process.holds if h.row.account == key.account)
            rows |= {name: row for name, row in process.record().items() if name not in alive}
        for hold in self.unwritten(key):
            state, charge = rows.get(hold.row.request_id, ("", 0))
            rows[hold.row.request_id] = state, min(charge, hold.end.charge if hold.end else 0)
        mine = f"{key.id}/"
        return total + sum(charge for name, (_, charge) in rows.items() if name.startswith(mine))

    def owed(self, key: KeyRecord) -> int:
        """At most what ends that are not on disk yet will charge."""
        return sum(hold.end.charge for hold in self.unwritten(key) if hold.end is not None)

    def unwritten(self, key: KeyRecord) -> list[Hold]:
        """The key's ended requests whose end is not on disk yet. One that charges less than its
        checkpoint is worth its end already: no later hold reaches the disk before it."""
        return [
            hold
            for process in self.processes
            for hold, _ in process.ended
            if hold.row.account == key.account and hold.ticket not in process.file.ends
        ]

    @rule(requests=st.lists(st.tuples(which, which, st.integers(0, 100)), min_size=1, max_size=5))
    def arrive(self, requests: list[tuple[int, int, int]]) -> None:
        for on, by, tokens in requests:
            self.admit(on, by, tokens)

    def admit(self, on: int, by: int, tokens: int) -> None:
        process, key = self.processes[on % 2], self.keys[by % 2]
        request_id = f"{key.id}/{next(self.numbers)}"
        wanted = intent(key, request_id, max_tokens=tokens)
        others = [h for h in self.processes[1 - on % 2].holds if h.row.account == key.account]
        owed, before = self.owed(key), self.held(key)  # in this order: ends become rows meanwhile
        if not process.file.open_gate.is_set() and process.ledger.failing:
            return  # it would wait for a commit that this thread lets go
        brief = self.at_once(process, wanted) if on % 4 > 1 else None
        try:
            hold = brief or self.loop.run_until_complete(process.ledger.hold(wanted))
        except RequestError as error:
            self.seen[f"refused with {error.status}"] += 1
            if error.status == 503:
                assert process.file.broken
            else:
                assert by % 2 == 0, "a key without a limit is never refused"
                budget = self.keys[0].budget_nano
                assert budget is not None
                room = budget - before - owed
                fits = bound(PRICE, 10, 1, tokens) <= room
                assert not fits or others or self.lent_elsewhere(1 - on % 2)
            return
        if key.budget_nano is not None:
            assert before + hold.amount <= key.budget_nano, "over the limit (I2)"
        if process.file.open_gate.is_set() and brief is None:
            durable = process.acknowledged(hold.ticket)
            assert durable == (hold.ticket in process.file.holds), "I4"
            if not durable:
                process.ledger.release(hold, 503)
                return
        process.holds.append(hold)

    def at_once(self, process: Process, wanted: Intent) -> Hold | None:
        """A hold that stays unwritten for now, where it needs no waiting."""
        price = process.ledger.prices.customer(wanted.model, wanted.created_us)
        hold = process.ledger.hold_at_once(wanted, price)
        self.seen["unwritten at first"] += hold is not None
        return hold

    def lent_elsewhere(self, other: int) -> bool:
        """Whether the other process may hold more of the limited account than it needs."""
        number = self.processes[other].opened.number
        query = text("SELECT sum(granted_nano) FROM lease WHERE journal = :number")
        with self.store.database.reading() as connection:
            return bool(connection.scalar(query, {"number": number}))

    def open_holds(self) -> list[tuple[Process, Hold]]:
        return [(process, hold) for process in self.processes for hold in process.holds]

    @precondition(lambda self: self.open_holds())
    @rule(index=which, tokens=st.integers(64, 120))
    def checkpoint(self, index: int, tokens: int) -> None:
        found = self.open_holds()
        process, hold = found[index % len(found)]
        process.ledger.checkpoint(hold, tokens, TOLD)

    @precondition(lambda self: self.open_holds())
    @rule(when=st.tuples(st.lists(ENDS, min_size=1), st.sampled_from(TROUBLES)))
    def answer(self, when: tuple[list[tuple[int, int, str, bool]], str]) -> None:
        ends, trouble = when
        for index, tokens, state, sent in ends:
            found = self.open_holds()
            if found:
                process, hold = found[index % len(found)]
                if trouble == "stall":
                    process.file.open_gate.clear()
                elif trouble == "break":
                    process.file.broken = True
                self.end(process, hold, outcome(tokens, state=state, delivered=sent))
        if trouble == "fold":
            self.fold(0)
            self.fold(1)

    def end(self, process: Process, hold: Hold, how: Outcome) -> None:
        self.seen[f"ended in {'a stall' if not process.file.open_gate.is_set() else 'time'}"] += 1
        process.holds.remove(hold)
        ticket = process.ledger.settle(hold, how)
        process.ended.append((hold, how.delivered))
        again = process.ledger.settle(hold, outcome(1_000))
        assert (ticket, how.state) == (again, hold.state), "the first end counts (I3)"
        if process.file.open_gate.is_set():
            durable = process.acknowledged(ticket)
            written = process.file.ends.get(hold.ticket)
            assert durable == (written is not None and written.end == hold.end), "I4"
            self.seen["acknowledged" if durable else "failed end"] += 1

    @rule(on=which)
    def stall(self, on: int) -> None:
        self.processes[on % 2].file.open_gate.clear()

    @rule(on=which)
    def go_on(self, on: int) -> None:
        self.processes[on % 2].file.open_gate.set()

    @rule(on=which)
    def disk_full(self, on: int) -> None:
        """The first request finds out, the next ones are refused for it."""
        self.processes[on % 2].file.broken = True
        for _ in range(3):
            self.admit(on, 1, 10)

    @rule(on=which)
    def disk_back(self, on: int) -> None:
        self.processes[on % 2].file.broken = False

    @rule(on=which)
    def fold(self, on: int) -> None:
        fold_all(self.processes[on % 2].opened.posting)

    @rule(on=which)
    def return_idle(self, on: int) -> None:
        leases = self.processes[on % 2].ledger._leases
        for _ in range(2):  # what stood unused from one look to the next
            self.loop.run_until_complete(leases.give_back(leases.idle))

    @rule(on=which, when=st.integers(0, 3))
    def crash(self, on: int, when: int) -> None:
        """Its memory is gone, and what it had queued; the next process takes over its slot."""
        if when:
            return  # not too often: a life should have time for something to happen
        process = self.processes[on % 2]
        process.file.broken = True
        self.replace(on % 2)
        self.in_book(self.past)

    @rule(on=which, when=st.integers(0, 3))
    def restart(self, on: int, when: int) -> None:
        """An orderly end, whatever is still open."""
        if when:
            return
        self.replace(on % 2)
        self.in_book(self.past)

    def replace(self, index: int) -> None:
        process = self.processes[index]
        process.file.open_gate.set()
        process.close()
        if process.file.broken:
            self.book.bury(self.store, process.opened.held)
        else:
            process.owes_nothing()
        self.past |= process.record()
        fresh = Process(self.store, self.loop)
        self.processes = [fresh if at == index else each for at, each in enumerate(self.processes)]

    def in_book(self, expected: dict[str, tuple[str, int]]) -> None:
        """Every ended request of dead processes stands in the book, as its journal had it (I4,
        I12)."""
        query = text("SELECT request_id, state, charge FROM request")
        with self.store.database.reading() as connection:
            actual = {row[0]: (row[1], row[2]) for row in connection.execute(query)}
        assert expected == {name: actual.get(name) for name in expected}

    @precondition(lambda self: self.processes)
    @invariant()
    def book_is_right(self) -> None:
        query = text(
            "SELECT limit_nano - posted_nano - (SELECT coalesce(sum(granted_nano), 0) FROM lease"
            " WHERE account = id) FROM account WHERE limit_nano IS NOT NULL"
        )
        with self.store.database.reading() as connection:
            assert (connection.scalar(query) or 0) >= 0, "I8"

    def teardown(self) -> None:
        if not self.processes:
            return
        for process in self.processes:
            process.file.broken = False
            process.file.open_gate.set()
            process.close()
            process.owes_nothing()
            self.past |= process.record()
        self.in_book(self.past)
        self.seen["interrupted"] += sum(state == "interrupted" for state, _ in self.past.values())
        self.seen["charged at a checkpoint"] += sum(
            state == "interrupted" and charge > 0 for state, charge in self.past.values()
        )
        rows = self.store.usage.requests(1_000)
        assert len(self.past) == len(rows), "nothing is there twice, or that was not written"
        for row in rows:  # I6
            worth = (row.prompt_tokens or 0) + 2 * (row.completion_tokens or 0)
            assert row.charge == (0 if row.state == "released" else min(worth, row.hold))
        assert [] == audit.faults(self.store.database.place)
        account = self.store.accounts.get(self.keys[0].account)
        assert account.leased_nano == 0, "nobody is left who could spend it"
        self.store.close()
        self.loop.close()
        shutil.rmtree(self.home)


@pytest.mark.parametrize("runs", [QUICK_RUNS, MANY])
def test_ledger_machine(runs: int) -> None:
    """The invariants hold in every life of two processes; and enough happened to say so."""
    drive(LedgerMachine, runs)


def drive(machine: type[LedgerMachine], runs: int) -> None:
    """Run it until enough has happened."""
    case = machine.TestCase
    case.settings = settings(
        max_examples=runs,
        stateful_step_count=20,
        derandomize=runs != LONG_RUNS,  # the same runs each time; long ones look for new ones
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.seen.clear()
    for _ in range(ROUNDS_MAX):  # what happens in a run depends a little on the threads' turns
        case("runTest").runTest()
        if not _too_seldom(machine.seen, runs):
            return
    raise AssertionError(f"too seldom: {_too_seldom(machine.seen, runs)}")


def _too_seldom(seen: collections.Counter[str], runs: int) -> dict[str, int]:
    """What happened too little to say that the invariants were tried on it."""
    ends = ("ended in time", "ended in a stall", "interrupted")
    often = (*ends, "refused with 429", "unwritten at first")
    seldom = ("acknowledged", "failed end", "charged at a checkpoint", "refused with 503")
    wanted = dict.fromkeys(often, runs // 8) | dict.fromkeys(seldom, runs // 100)
    return {event: seen[event] for event, least in wanted.items() if seen[event] < least}
