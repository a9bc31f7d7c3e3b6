"""Random bytes that are drawn in bulk."""

from baton.randomness import Randomness


def test_randomness_is_never_given_twice() -> None:
    """Also where a bulk ends and the next begins."""
    randomness = Randomness()
    count = Randomness.BULK_BYTES // Randomness.BYTES + 2
    given = [randomness.take() for _ in range(count)]
    assert count == len(set(given))
    assert {Randomness.BYTES} == {len(each) for each in given}
