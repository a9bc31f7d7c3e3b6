"""Homes of beginnings."""

from collections import Counter

from baton.routing.affinity import IDS_DEPTHS, TEXT_DEPTHS, beginnings, drawn, home

NAMES = ["a", "b", "c", "d"]
EVEN = [1.0] * 4


def test_depths() -> None:
    """A prompt has a beginning for each depth that it reaches; what comes behind it is nothing to
    it."""
    assert [0, 1, 2, 3] == [len(beginnings("x" * size)) for size in (255, *TEXT_DEPTHS)]
    assert [0, 1, 2, 3] == [len(beginnings([7] * size)) for size in (63, *IDS_DEPTHS)]
    one, other = "é" * 1024 + "one", "é" * 1024 + "other"
    assert beginnings(one) == beginnings(other)
    assert beginnings(one) != beginnings("x" + other)
    assert beginnings([-1, 2**40] * 40) != beginnings([-2, 2**40] * 40)


def test_homes_are_shared_by_weight() -> None:
    """Many beginnings are spread evenly, or as the weights say."""
    even = Counter(home(number, NAMES, EVEN) for number in range(8000))
    assert all(1850 < even[place] < 2150 for place in range(4))
    heavy = Counter(home(number, NAMES, [5.0, 1.0, 1.0, 1.0]) for number in range(8000))
    assert 4800 < heavy[0] < 5200


def test_who_goes_takes_only_his_own() -> None:
    """Without one name all others keep what they had; and it does not matter how names are
    ordered."""
    for number in range(1000):
        before = NAMES[home(number, NAMES, EVEN)]
        assert before == NAMES[::-1][home(number, NAMES[::-1], EVEN)]
        if before != "b":
            rest = ["a", "c", "d"]
            assert before == rest[home(number, rest, EVEN[:3])]


def test_draws() -> None:
    """Strictly between 0 and 1, whatever the number, and spread."""
    numbers = [drawn(number) for number in [*range(4000), 2**64 - 1, 2**63]]
    assert 0 < min(numbers)
    assert max(numbers) < 1
    assert 0.48 < sum(numbers) / len(numbers) < 0.52
