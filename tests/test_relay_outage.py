"""Outages in simulated time: never amplified, soon over; one bad upstream of many is nothing."""

from collections import Counter

import pytest

from tests.fakes.replicas import World

PER_SECOND = 50


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcdefgh"])
def test_a_full_outage(names: str) -> None:
    """60 s: at most 1.1 attempts a request. Within 5 s of its end 95 % are answered again."""
    world = World(names)
    assert all(world.requests(30, PER_SECOND))
    before = world.attempts
    for replica in world.replicas.values():
        replica.down = True
    outage = list(world.requests(60, PER_SECOND))
    assert not any(outage)
    assert len(outage) <= world.attempts - before <= 1.1 * len(outage)
    for replica in world.replicas.values():
        replica.down = False
    healed = list(world.requests(5, PER_SECOND))
    assert sum(map(bool, healed)) >= 0.95 * len(healed)
    used = Counter(world.requests(60, PER_SECOND))
    assert set(names) == set(used)


def test_healing_one_by_one() -> None:
    """As soon as one of three is well, 95 % are answered within 5 s, though all were ejected."""
    world = World("abc")
    for replica in world.replicas.values():
        replica.down = True
    list(world.requests(60, PER_SECOND))
    world.replicas["b"].down = False
    healed = list(world.requests(10, PER_SECOND))[5 * PER_SECOND :]
    assert sum(map(bool, healed)) >= 0.95 * len(healed)


@pytest.mark.parametrize(
    ("names", "per_second"), [("ab", 2), ("ab", 50), ("abc", 2), ("abc", 300), ("abcdefgh", 50)]
)
def test_one_bad_replica(names: str, per_second: int) -> None:
    """At most 5 requests touch it before it is passed over for 30 s, and no caller notices."""
    world = World(names)
    world.replicas["a"].down = True
    assert all(world.requests(29, per_second))
    assert 1 <= len(world.replicas["a"].calls) <= 5


def test_a_bad_replica_is_asked_ever_less() -> None:
    """In half an hour at 10 requests a second it sees a few probes, and no caller notices."""
    world = World("abc")
    world.replicas["a"].down = True
    assert all(world.requests(1800, 10))
    assert 5 + 1800 // 330 <= len(world.replicas["a"].calls) <= 25


def test_a_replica_that_breaks_off() -> None:
    """It is found out by its streams; requests that begin go elsewhere."""
    world = World("abc")
    world.replicas["a"].breaks = True
    list(world.requests(29, PER_SECOND))
    assert len(world.replicas["a"].calls) <= 5 + PER_SECOND * world.service_s
    assert "ejected" == world.sites["a"].state


def test_return() -> None:
    """A replica that is well again is found within a minute and has its share half a minute
    later."""
    world = World("abc")
    world.replicas["a"].down = True
    assert all(world.requests(20, PER_SECOND))
    world.replicas["a"].down = False
    assert all(world.requests(60, PER_SECOND))
    used = Counter(world.requests(20, PER_SECOND))
    assert all(used[name] > 0.25 * 20 * PER_SECOND for name in "abc")
