"""Attempts in their order."""

import asyncio
import time
from collections import Counter

import msgspec
import pytest

from baton.errors import invalid
from baton.relay import Opening, Relay
from baton.routing.budget import Budget
from baton.sites import Site
from baton.upstreams.base import UpstreamError, UpstreamStream
from baton.upstreams.failures import failure
from tests.fakes.scripted import END, Scripted, opened, planned, relay


def test_attempts_in_order() -> None:
    """The first that accepts answers; those behind it are not asked; one that is gone is none."""
    one, two, three = Scripted(failure("connect", "refused")), Scripted([[END]]), Scripted()
    answer = opened(planned("one", "gone", "two", "three"), one=one, two=two, three=three)
    assert ("two", 2) == (answer.upstream, answer.attempts)
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


def test_nobody_is_left() -> None:
    """Every upstream of the plan was removed, one or several: a failure like others."""
    for names in (("gone",), ("gone", "too")):
        with pytest.raises(UpstreamError) as caught:
            opened(planned(*names))
        assert ("connect", "refused") == (caught.value.phase, caught.value.kind)


def test_attempts_end() -> None:
    """At three, and where the budget for all requests is used up; our own queue costs nothing."""
    refused, queued = failure("connect", "refused"), failure("connect", "overloaded")
    names = ("one", "two", "three", "four")
    four = {name: Scripted(refused) for name in names}
    with pytest.raises(UpstreamError):
        opened(planned(*names), **four)
    assert [1, 1, 1, 0] == [len(upstream.calls) for upstream in four.values()]
    for error, asked in ((refused, [1, 0]), (queued, [1, 1])):
        two = {name: Scripted(error) for name in names[:2]}
        sites = {name: Site(name, upstream) for name, upstream in two.items()}
        with pytest.raises(UpstreamError):
            asyncio.run(Relay(sites, Budget(0.0, 0.0)).open(planned(*two)))
        assert asked == sorted((len(each.calls) for each in two.values()), reverse=True)


def test_equals_are_drawn() -> None:
    """By the plan's seed, which differs from request to request; those tried are left out."""
    sites = {name: Site(name, Scripted()) for name in ("one", "two", "three")}
    router = Relay(sites)
    first: Counter[str] = Counter()
    for seed in range(300):
        plan = msgspec.structs.replace(planned(*sites), seed=seed)
        found = router.ordered(plan)
        assert set(sites) == {attempt.upstream for attempt in found}
        first[found[0].upstream] += 1
        assert {"two"} == {each.upstream for each in router.ordered(plan, {"one", "three"})}
    assert all(70 < first[name] < 130 for name in sites)


def test_equal_beginnings_meet() -> None:
    """Long prompts that begin alike go to one upstream, whatever is drawn."""
    sites = {name: Site(name, Scripted()) for name in ("one", "two", "three")}
    router = Relay(sites)
    for beginning in "abc":
        plan = planned(*sites, prompts=[beginning * 300])
        seeded = [msgspec.structs.replace(plan, seed=seed) for seed in range(50)]
        assert 1 == len({router.ordered(each)[0].upstream for each in seeded})


def test_who_wants_to_be_left_alone_is() -> None:
    """No call reaches it until the time it named, and the caller is told that time."""
    for names in (("one",), ("one", "two")):
        upstreams = {name: Scripted() for name in names}
        router = relay(**upstreams)
        for name in names:
            site = router.site(name)
            assert site is not None
            site.health.pause(time.monotonic(), 20.0)
        with pytest.raises(UpstreamError) as caught:
            asyncio.run(router.open(planned(*names)))
        assert "overloaded" == caught.value.kind
        assert 19.0 < (caught.value.retry_after_s or 0.0) <= 20.0
        assert [] == [call for each in upstreams.values() for call in each.calls]


def test_one_probe_at_a_time() -> None:
    """A half-open upstream is asked by one request; the others go past it."""
    one, two = Scripted([[END]]), Scripted([[END]], [[END]])
    router = relay(one=one, two=two)
    site = router.site("one")
    assert site is not None
    for _ in range(5):
        site.health.failed(time.monotonic() - 31.0, placed=False)

    async def ask() -> list[str]:
        answers = [await router.open(planned("one", "two")) for _ in range(3)]
        return [answer.upstream for answer in answers]

    assert ["one", "two", "two"] == asyncio.run(ask())


def test_what_was_planned_goes_where_its_upstreams_are_by_now() -> None:
    """One that was changed is asked as it is; one that is gone, or came since, is not asked; what
    began before goes on."""
    one, two, anew = Scripted([[END]]), Scripted(failure("connect", "refused")), Scripted([[END]])
    router = relay(one=one, two=two)
    router.follow("two", Site("two", anew))
    router.follow("three", Site("three", one))
    assert None is router.site("three")

    async def ask() -> list[str]:
        begun = await one.open(planned("one").attempts[0].call)

        async def go_on() -> UpstreamStream:
            return begun

        router.follow("one", None)
        answers = [await router.open(planned("one", "two"))]
        answers.append(await router.open(planned("one"), Opening(one, go_on)))
        return [answer.upstream for answer in answers]

    assert router.knows(planned("one", "two"))
    assert ["two", "one"] == asyncio.run(ask())
    assert [True, False] == [router.knows(planned("one", "two")), router.knows(planned("one"))]
    assert [1, 0, 1] == [len(each.calls) for each in (one, two, anew)]
