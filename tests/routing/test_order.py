"""Who is asked first."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from baton.routing.health import EJECTION_S, FAILURES_MAX, Health
from baton.routing.order import LOAD_MAX, order

NOW_S = 1000.0


class Standing(msgspec.Struct):
    name: str
    priority: int = 0
    weight: int = 100
    in_flight: int = 0
    in_flight_max: int = 1000
    health: Health = msgspec.field(default_factory=Health)


def places(names: str = "abc", **fields: Any) -> list[Standing]:
    return [Standing(name, **fields) for name in names]


def asked(found: Sequence[Standing], seed: int = 1, beginnings: Sequence[int] = ()) -> str:
    """The names in order."""
    numbers = order(found, NOW_S, seed, lambda: list(beginnings))
    return "".join(found[number].name for number in numbers)


def firsts(found: Sequence[Standing], beginnings: Sequence[int] = ()) -> Counter[str]:
    return Counter(asked(found, seed, beginnings)[0] for seed in range(2000))


def ejected(place: Standing, at_s: float = NOW_S) -> None:
    for _ in range(FAILURES_MAX):
        place.health.failed(at_s, placed=False)


def test_priority_first() -> None:
    """Neither load nor weight lifts one over a better priority; being full or ejected does."""
    found = [Standing("b", 1, 1000), Standing("a", 0, 1, 900)]
    assert {"a": 2000} == firsts(found)
    found[1].in_flight = 1000
    assert "ab" == asked(found)  # to wait at the better one is still better
    ejected(found[1])
    assert "b" == asked(found)


def test_weights() -> None:
    """Calls under way stand as the weights do; weight 0 is only asked when others failed."""
    found = [Standing("a", weight=300), Standing("b", weight=100), Standing("c", weight=0)]
    for seed in range(4000):
        names = asked(found, seed)
        assert "c" == names[-1]
        next(place for place in found if place.name == names[0]).in_flight += 1
    assert 2950 < found[0].in_flight < 3050
    assert "ba" == asked([Standing("a", weight=0), Standing("b", weight=1)])


def test_load() -> None:
    """The busiest of many is nearly never first, and the full one never while another has room."""
    found = places("abcd")
    found[0].in_flight = 50
    assert firsts(found)["a"] == 0
    full = places("ab", in_flight=5)
    full[0].in_flight_max = 5
    assert {"b": 2000} == firsts(full)


def test_power_of_two_choices_keeps_loads_even() -> None:
    """With 1,000 calls under way on four, no one has a tenth more than another."""
    found = places("abcd")
    for seed in range(1000):
        found[order(found, NOW_S, seed, list)[0]].in_flight += 1
    loads = [place.in_flight for place in found]
    assert max(loads) <= 1.1 * min(loads)


def test_the_untrusted_are_passed_over() -> None:
    """A suspect is a last resort, an ejected one not even that."""
    found = places()
    found[0].health.failed(NOW_S, placed=False)
    assert {"bca", "cba"} == {asked(found, seed) for seed in range(50)}
    ejected(found[0])
    assert {"bc", "cb"} == {asked(found, seed) for seed in range(50)}


def test_at_most_half_are_passed_over() -> None:
    """Of three with two ejected, the one that is back sooner is asked where the third is full."""
    found = places()
    ejected(found[0])
    ejected(found[1], NOW_S - 1)
    assert "cb" == asked(found)
    found[2].in_flight = found[2].in_flight_max
    assert "bc" == asked(found)
    found = places()
    ejected(found[0], NOW_S - 1)
    ejected(found[1])
    assert "ca" == asked(found)


def test_panic() -> None:
    """Where all are ejected all are asked alike, but only one of them a request."""
    found = places()
    for place in found:
        ejected(place)
    counts = firsts(found)
    assert all(550 < counts[name] < 800 for name in "abc")
    assert {1} == {len(asked(found, seed)) for seed in range(50)}
    alone = places("a")
    ejected(alone[0])
    assert "a" == asked(alone)


def test_the_paused_are_left_alone() -> None:
    """Also where nobody else is there; panic is not for them."""
    found = places("ab")
    found[0].health.pause(NOW_S, 5.0)
    assert "b" == asked(found)
    found[1].health.pause(NOW_S, 5.0)
    assert "" == asked(found)


def test_half_open_and_warming() -> None:
    """One probe at a time; then a share that grows."""
    found = places("ab")
    ejected(found[0], NOW_S - EJECTION_S)
    assert firsts(found)["a"] > 0
    found[0].health.asked(NOW_S)
    assert {"b": 2000} == firsts(found)
    found[0].health.accepted(NOW_S)
    assert 30 < firsts(places("bcd") + found[:1])["a"] < 110  # of 2,000: one in 31


def test_home() -> None:
    """Equal beginnings go to the same place, while it bears no more than its share."""
    found = places("abcd", in_flight=10)
    [first] = firsts(found, [12345])
    place = next(each for each in found if each.name == first)
    limit = 10
    while firsts(found, [12345])[first] == 2000:
        place.in_flight = limit = limit + 1
    mean = sum(each.in_flight for each in found) / 4
    assert limit <= LOAD_MAX * mean + 1
    assert limit > 11


def test_a_hot_beginning_is_parted_by_the_next() -> None:
    """Beyond the first seat's share, each deeper beginning has its own seat."""
    found = places("abcd", in_flight=10)
    [first] = firsts(found, [12345])
    next(each for each in found if each.name == first).in_flight = 100
    seats = [set(firsts(found, [12345, deeper])) for deeper in range(20)]
    assert {1} == {len(names) for names in seats}
    assert set("abcd") - {first} == set().union(*seats)


healths = st.sampled_from(["healthy", "suspect", "ejected", "paused"])
standings = st.builds(
    Standing,
    name=st.text("abcdefgh", min_size=1, max_size=3),
    priority=st.integers(0, 2),
    weight=st.integers(0, 3),
    in_flight=st.integers(0, 20),
    in_flight_max=st.integers(1, 20),
)


@given(
    st.lists(st.tuples(standings, healths), max_size=7, unique_by=lambda pair: pair[0].name),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=3),
)
def test_always(drawn: list[tuple[Standing, str]], seed: int, beginnings: list[int]) -> None:
    """Nobody twice, the paused never, somebody whenever one is not paused; the trusted by priority
    before all others; equal questions get equal answers."""
    found = [place for place, _ in drawn]
    for place, state in drawn:
        place.health = Health()
        if state == "paused":
            place.health.pause(NOW_S, 1.0)
        elif state == "ejected":
            ejected(place)
        elif state == "suspect":
            place.health.failed(NOW_S, placed=True)
    numbers = order(found, NOW_S, seed, lambda: beginnings)
    assert numbers == order(found, NOW_S, seed, lambda: beginnings)
    assert len(numbers) == len(set(numbers))
    states = [drawn[number][1] for number in numbers]
    assert "paused" not in states
    assert bool(numbers) == any(state != "paused" for _, state in drawn)
    trusted = [
        found[n].priority for n, state in zip(numbers, states, strict=True) if state == "healthy"
    ]
    assert sorted(trusted) == trusted
    assert len(trusted) == sum(state == "healthy" for _, state in drawn)
