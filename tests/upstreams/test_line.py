"""Whose turn it is."""

from collections import Counter, deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from baton.upstreams.line import Line


def filled(*tenants: str, waiting_max: int = 100) -> Line[str]:
    line: Line[str] = Line(waiting_max)
    for number, tenant in enumerate(tenants):
        line.join(tenant, f"{tenant}{number}", 0.0)
    return line


def test_tenants_take_turns() -> None:
    """Each gets every n-th place, its own in their order."""
    line = filled("a", "a", "a", "b", "c", "b")
    found = [line.next(0.0) for _ in range(7)]
    assert ["a0", "b3", "c4", "a1", "b5", "a2", None] == found
    assert (0, "<Line 0 of 0 tenants>") == (len(line), repr(line))


def test_one_alone_fills_half() -> None:
    """And the first of another always finds room."""
    line: Line[int] = Line(10)
    while not line.full("a"):
        line.join("a", 0, 0.0)
    assert 5 == len(line)
    for tenant in "bcd":
        assert not line.full(tenant)
        line.join(tenant, 0, 0.0)
    while not line.full("b"):
        line.join("b", 0, 0.0)
    assert len(line) <= 10


def test_the_wait_is_told_by_the_pace() -> None:
    """Unknown at first; then as fast as it moved of late, by whose turn it will be; a line that
    stands still for longer has no better hope."""
    line = filled(*["a"] * 15)
    assert (False, 0.0) == (line.moves, line.wait_s("a", 0.0))
    for step in range(10):
        line.next(step + 1.0)
    assert (True, 5) == (line.moves, len(line))
    assert [6.0, 2.0] == [line.wait_s(tenant, 10.0) for tenant in "ab"]
    assert [6.0, 10.0] == [line.wait_s("a", now_s) for now_s in (13.0, 20.0)]


def test_leaving() -> None:
    """Who gives up frees his place; who waits too long leaves together with those before him."""
    line = filled("a", "b", "a")
    line.leave("a", "a0")
    line.leave("a", "a0")
    line.leave("x", "?")
    assert ["a2", "b1"] == [line.next(0.0), line.next(0.0)]
    line.join("a", "old", 1.0)
    line.join("b", "older", 0.5)
    line.join("a", "new", 2.0)
    assert ["old", "older"] == sorted(line.overdue(2.0))
    assert (1, ["new"]) == (len(line), line.clear())


class Machine(RuleBasedStateMachine):
    """Against one queue a tenant, and the rule that nobody is passed over twice."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line(12)
        self.queues: dict[str, deque[int]] = {}
        self.passed_over: Counter[str] = Counter()
        self.number = 0

    @rule(tenant=st.sampled_from("abcd"))
    def join(self, tenant: str) -> None:
        if self.line.full(tenant):
            return
        self.number += 1
        self.line.join(tenant, self.number, 0.0)
        self.queues.setdefault(tenant, deque()).append(self.number)

    @rule()
    def take(self) -> None:
        found = self.line.next(0.0)
        waiting = {tenant for tenant, queue in self.queues.items() if queue}
        assert (found is None) == (not waiting)
        for tenant in waiting:
            if self.queues[tenant][0] == found:
                self.queues[tenant].popleft()
                self.passed_over[tenant] = 0
            else:
                self.passed_over[tenant] += 1
                assert self.passed_over[tenant] <= 2 * 3

    @rule(tenant=st.sampled_from("abcd"), data=st.data())
    def leave(self, tenant: str, data: st.DataObject) -> None:
        queue = self.queues.get(tenant)
        if queue:
            gone = data.draw(st.sampled_from(list(queue)))
            self.line.leave(tenant, gone)
            queue.remove(gone)

    @invariant()
    def counted(self) -> None:
        assert len(self.line) == sum(map(len, self.queues.values())) <= 12


Machine.TestCase.settings = settings(max_examples=100, deadline=None)
TestMachine = Machine.TestCase


def test_time_in_which_nobody_waited_is_no_step() -> None:
    """Nor does it make the line look fast: what one waited before he left counts."""
    line: Line[str] = Line(100)
    for turn in range(10):
        line.join("a", "x", turn * 100.0)
        line.next(turn * 100.0 + 2.0)
    assert 2.0 == line.wait_s("a", 5000.0)


def test_places_that_become_free_together_do_not_deceive() -> None:
    """Eight at a time every 0.2 s is 40 a second, right after the eighth as before the first."""
    line = filled(*["a"] * 400, waiting_max=1000)
    for burst in range(40):
        for _ in range(8):
            line.next(burst * 0.2)
            if burst > 5:
                wait_s = line.wait_s("b", burst * 0.2)
                assert 0.035 <= wait_s <= 0.055 or pytest.fail(f"{wait_s}")
