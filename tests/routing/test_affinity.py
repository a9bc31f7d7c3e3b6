"""Homes of beginnings."""

from collections import Counter

from baton.routing.affinity import Popularity, beginnings, drawn, seat

NAMES = ["a", "b", "c", "d"]
EVEN = [1.0] * 4


def test_depths() -> None:
    """A prompt has a beginning for each depth that it reaches; what comes behind it is nothing to
    it."""
    sizes = (255, 256, 511, 512, 1024, 2047, 8192, 10**6)
    assert [0, 1, 1, 2, 4, 5, 10, 10] == [len(beginnings("x" * size)) for size in sizes]
    counts = (63, 64, 256, 2048, 5000)
    assert [0, 1, 4, 10, 10] == [len(beginnings([7] * count)) for count in counts]
    assert 10 == len(set(beginnings("x" * 8192)))
    one, other = "é" * 1024 + "one", "é" * 1024 + "other"
    assert beginnings(one) == beginnings(other)
    assert beginnings(one) != beginnings("x" + other)
    assert beginnings([7] * 256 + [1]) == beginnings([7] * 256 + [2, 3])
    assert beginnings([-1, 2**40] * 40) != beginnings([-2, 2**40] * 40)


def test_homes_are_shared_by_weight() -> None:
    """Many beginnings are spread evenly, or as the weights say."""
    even = Counter(seat(number, NAMES, EVEN) for number in range(8000))
    assert all(1850 < even[place] < 2150 for place in range(4))
    heavy = Counter(seat(number, NAMES, [5.0, 1.0, 1.0, 1.0]) for number in range(8000))
    assert 4800 < heavy[0] < 5200


def test_who_goes_takes_only_his_own() -> None:
    """Without one name all others keep what they had; and it does not matter how names are
    ordered."""
    for number in range(1000):
        before = NAMES[seat(number, NAMES, EVEN)]
        assert before == NAMES[::-1][seat(number, NAMES[::-1], EVEN)]
        if before != "b":
            rest = ["a", "c", "d"]
            assert before == rest[seat(number, rest, EVEN[:3])]


def test_draws() -> None:
    """Strictly between 0 and 1, whatever the number, and spread."""
    numbers = [drawn(number) for number in [*range(4000), 2**64 - 1, 2**63]]
    assert 0 < min(numbers)
    assert max(numbers) < 1
    assert 0.48 < sum(numbers) / len(numbers) < 0.52


def test_what_too_many_share_says_nothing() -> None:
    """Of four upstreams none bears more than its part by one beginning: then deeper ones count;
    where there is none, all the same."""
    seen = Popularity(recent=1000)
    for number in range(500):
        assert [10_000 + number] == seen.parting([1, 10_000 + number], 4) or number < 20
    assert [1] == seen.parting([1], 4)
    assert [2, 3] == seen.parting([2, 3], 4)
    for _ in range(4000):
        seen.parting([4], 4)
    assert [1, 5] == seen.parting([1, 5], 4)  # long ago
    assert len(seen._counts) < 100


def test_a_few_are_not_many() -> None:
    """The first prompts of a kind have a seat at once."""
    seen = Popularity()
    assert all([1, number] == seen.parting([1, number], 4) for number in range(2, 30))
