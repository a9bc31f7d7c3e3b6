"""The roster: fairness, waves, bounds, and a machine that must never lose an id or deadlock."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from baton.engine.policy import Group, Roster


def group(tenant: str, samples: int = 1, call: object = None) -> Group:
    return Group(call=call or object(), tenant=tenant, pending=deque(range(samples)))


def drain(roster: Roster) -> list[tuple[str, int, int]]:
    found = []
    while (grant := roster.grant()) is not None:
        found.append((grant[0].tenant, grant[1], grant[2]))
    return found


def test_lowest_ids_first_in_order_of_arrival() -> None:
    """One tenant's groups run first come, first served, on neighbouring ids."""
    roster = Roster(3, 10)
    roster.push([group("a", 2), group("a")])
    assert [("a", 0, 0), ("a", 1, 1), ("a", 0, 2)] == drain(roster)


def test_tenants_take_turns() -> None:
    """An array of one tenant does not delay another one's single prompt."""
    roster = Roster(4, 10)
    roster.push([group("a") for _ in range(100)])
    roster.push([group("b"), group("b"), group("c")])
    assert ["a", "b", "c", "a"] == [tenant for tenant, _, _ in drain(roster)]


def test_who_holds_least_is_next() -> None:
    """A freed id goes to the tenant with the fewest running, not in mere rotation."""
    roster = Roster(4, 10)
    first = [group("a") for _ in range(6)]
    roster.push(first)
    drain(roster)
    roster.push([group("b"), group("b")])
    roster.release(first[0], 1)
    roster.release(first[1], 0)
    assert [("b", 0, 0), ("b", 0, 1)] == drain(roster)


def test_more_samples_than_ids_run_in_waves() -> None:
    """n of 128 on 2 ids: every sample gets one, and the group never lets go of its last id."""
    roster = Roster(2, 1000)
    many = group("a", 128)
    roster.push([many])
    samples, held = [], deque[int]()
    while True:
        for _, sample, sequence in drain(roster):
            samples.append(sample)
            held.append(sequence)
        if not held:
            break
        sequence = held.popleft()
        again = roster.release(many, sequence)
        if again is not None:
            samples.append(again)
            held.append(sequence)
    assert list(range(128)) == samples
    assert (0, 1) == roster.free


def test_a_started_group_keeps_its_prompt() -> None:
    """With others waiting, the last id of a group goes to its own next sample."""
    roster = Roster(1, 10)
    mine = group("a", 2)
    roster.push([mine, group("b")])
    drain(roster)
    assert 1 == roster.release(mine, 0)
    assert None is roster.release(mine, 0)
    assert [("b", 0, 0)] == drain(roster)


def test_paused_groups_get_nothing() -> None:
    """A slow reader's call does not take ids, and does not block its tenant."""
    roster = Roster(2, 10)
    slow = group("a")
    slow.paused = True
    roster.push([slow, group("a")])
    assert [("a", 0, 0)] == drain(roster)
    slow.paused = False
    assert [("a", 0, 1)] == drain(roster)


def test_the_queue_is_bounded() -> None:
    """Beyond the bound calls are refused; an empty queue takes any call."""
    roster = Roster(1, 3)
    assert roster.admits(1000)
    roster.push([group("a"), group("a"), group("a")])
    drain(roster)
    assert 2 == roster.waiting
    assert roster.admits(1)
    roster.push([group("b")])
    assert not roster.admits(1)


def test_who_has_an_id_next_does_not_wait() -> None:
    """A burst on an idle engine, before its thread has looked: the ids that are free come on top of
    the queue."""
    roster = Roster(4, 3)
    for _ in range(7):
        assert roster.admits(1)
        roster.push([group("a")])
    assert not roster.admits(1)
    drain(roster)
    assert not roster.admits(1)


def test_an_array_does_not_shut_others_out() -> None:
    """A call counts for what could run at once, however many prompts it has."""
    roster, call = Roster(2, 6), object()
    roster.push([group("a", call=call) for _ in range(2000)])
    assert roster.admits(1)
    assert roster.admits(2000)


def test_withdraw() -> None:
    """What was cancelled never gets an id."""
    roster, call = Roster(8, 10), object()
    other = group("a", 3)
    roster.push([group("a", call=call), other, group("b", 2, call)])
    roster.withdraw(call)
    assert [("a", 0, 0), ("a", 1, 1), ("a", 2, 2)] == drain(roster)
    assert 0 == roster.waiting


class RosterMachine(RuleBasedStateMachine):
    """Random calls come, run, end and are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster(3, 1000)
        self.running: dict[int, tuple[Group, int]] = {}
        self.unstarted: dict[int, set[int]] = {}
        self.groups: list[Group] = []

    @rule(tenant=st.sampled_from("abc"), samples=st.integers(1, 5))
    def push(self, tenant: str, samples: int) -> None:
        new = group(tenant, samples)
        self.groups.append(new)
        self.unstarted[id(new)] = set(range(samples))
        self.roster.push([new])

    def start(self, owner: Group, sample: int, sequence: int) -> None:
        assert sequence not in self.running, "an id has one owner"
        self.unstarted[id(owner)].remove(sample)
        self.running[sequence] = (owner, sample)

    @rule()
    def grant(self) -> None:
        grant = self.roster.grant()
        if grant is not None:
            self.start(*grant)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.running)))
        owner, _ = self.running.pop(sequence)
        sample = self.roster.release(owner, sequence)
        if sample is not None:
            self.start(owner, sample, sequence)

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.groups))
        self.roster.withdraw(gone.call)
        self.unstarted[id(gone)] = set()

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        if self.groups:
            chosen = data.draw(st.sampled_from(self.groups))
            chosen.paused = not chosen.paused

    @invariant()
    def no_id_is_lost(self) -> None:
        assert {0, 1, 2} == {*self.roster.free, *self.running}
        assert len(self.roster.free) + len(self.running) == 3

    @invariant()
    def counts_are_true(self) -> None:
        assert sum(map(len, self.unstarted.values())) == self.roster.waiting
        for owner in self.groups:
            assert owner.holds == sum(1 for other, _ in self.running.values() if other is owner)

    def teardown(self) -> None:
        """Whatever happened: unpaused, and with everything that runs ending, all samples run."""
        for owner in self.groups:
            owner.paused = False
        for _ in range(10_000):
            while (grant := self.roster.grant()) is not None:
                self.start(*grant)
            if not self.running:
                break
            sequence = min(self.running)
            owner, _ = self.running.pop(sequence)
            sample = self.roster.release(owner, sequence)
            if sample is not None:
                self.start(owner, sample, sequence)
        assert 0 == sum(map(len, self.unstarted.values()))


TestRosterMachine = RosterMachine.TestCase
TestRosterMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
