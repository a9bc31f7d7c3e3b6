"""Fewer threads beside neighbours, and all of them again once there is room."""

from hypothesis import given
from hypothesis import strategies as st

from baton.engine.crowding import CALM_LOOKS, CALM_LOOKS_MAX, LOOK_S, STALE_S, Crowding, Usage


class Machine:
    """Looks in even distances; rates in cores."""

    def __init__(self, most: int) -> None:
        self.crowding, self.now_s = Crowding(most), 100.0
        self.usage = Usage(5.0, 900.0)
        self.crowding.look(self.now_s, self.usage)

    def look(self, missing: float = 0.0, idle: float = 0.0, after_s: float = LOOK_S) -> int:
        """How many threads compute after one more look."""
        self.now_s += after_s
        delayed_s, idle_s = self.usage
        self.usage = Usage(delayed_s + missing * after_s, idle_s + idle * after_s)
        assert self.crowding.due(self.now_s) is (self.crowding.most > 1)
        self.crowding.look(self.now_s, self.usage)
        return self.crowding.threads


def test_one_thread_never_looks() -> None:
    """There is nothing to decide."""
    assert not Crowding(1).due(1e9)


def test_all_compute_where_nobody_else_does() -> None:
    """Our own threads waiting for each other's moment is no neighbour."""
    machine = Machine(4)
    assert [4] * 5 == [machine.look(missing=0.1, idle=0.5) for _ in range(5)]


def test_one_less_for_each_neighbour() -> None:
    """Who shares a core takes half of it."""
    assert 3 == Machine(4).look(missing=0.5)
    assert 2 == Machine(4).look(missing=1.1)
    assert 1 == Machine(4).look(missing=9.0)
    assert 1 == Machine(2).look(missing=0.3)


def test_one_more_once_a_core_has_been_idle_for_a_while() -> None:
    """In a row: a look without room begins anew."""
    machine = Machine(2)
    machine.look(missing=0.5)
    assert [1] * (CALM_LOOKS - 1) == [machine.look(idle=1.0) for _ in range(CALM_LOOKS - 1)]
    assert 1 == machine.look(idle=0.2)
    found = [machine.look(idle=1.0) for _ in range(CALM_LOOKS)]
    assert [*[1] * (CALM_LOOKS - 1), 2] == found


def test_who_was_added_in_vain_waits_longer() -> None:
    """Twice as long each time, up to a limit; a thread that was let go long after begins anew."""
    machine = Machine(2)
    machine.look(missing=0.5)
    waits = []
    for _ in range(7):
        looks = 1
        while machine.look(idle=1.0) < 2:
            looks += 1
        waits.append(looks)
        machine.look(missing=0.5)
    assert waits == [min(CALM_LOOKS * 2**n, CALM_LOOKS_MAX) for n in range(7)]


def test_what_was_long_ago_tells_nothing() -> None:
    """While the engine had nothing to do nobody looked."""
    machine = Machine(2)
    assert 2 == machine.look(missing=1.0, after_s=STALE_S + 1)
    assert 1 == machine.look(missing=1.0)


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)), max_size=200),
)
def test_there_is_always_one_and_never_too_many(
    most: int, looks: list[tuple[float, float, float]]
) -> None:
    """Whatever is told, at any distance; and it grows by one at a time."""
    crowding, now_s, usage = Crowding(most), 0.0, Usage(0.0, 0.0)
    for missing, idle, after_s in looks:
        before, now_s = crowding.threads, now_s + after_s
        usage = Usage(usage.delayed_s + missing, usage.idle_s + idle)
        crowding.look(now_s, usage)
        assert 1 <= crowding.threads <= min(most, before + 1)
