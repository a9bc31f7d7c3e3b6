"""Attempts in their order."""

import pytest

from baton.errors import invalid
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.scripted import END, Scripted, opened, planned


def test_attempts_in_order() -> None:
    """The first that accepts answers; those behind it are not asked; one that is gone counts."""
    one, two, three = Scripted(failure("connect", "refused")), Scripted([[END]]), Scripted()
    answer = opened(planned("one", "gone", "two", "three"), one=one, two=two, three=three)
    assert ("two", 3) == (answer.upstream, answer.attempts)
    assert [1, 1, 0] == [len(upstream.calls) for upstream in (one, two, three)]


@pytest.mark.parametrize(
    "final", [invalid("no", "prompt"), failure("stream", "network")], ids=["caller", "costs twice"]
)
def test_a_search_ends(final: Exception) -> None:
    """At a caller's fault, and at a failure after work was done."""
    two = Scripted([[END]])
    with pytest.raises(type(final)) as caught:
        opened(planned("one", "two"), one=Scripted(final), two=two)
    assert final is caught.value
    assert [] == two.calls


def test_the_last_failure_is_told() -> None:
    """When nobody accepts."""
    last = failure("first_byte", "overloaded")
    first = failure("connect", "refused")
    with pytest.raises(UpstreamError) as caught:
        opened(planned("one", "two"), one=Scripted(first), two=Scripted(last))
    assert last is caught.value
