"""How upstreams fared: summed by span, bounded by age and number."""

import pathlib
from typing import Any

import msgspec
import pytest

from baton.stores import history
from baton.stores.book import Store
from baton.stores.history import CHANGES_KEPT_S, COUNTS, KEPT_S, SPANS_S, History, UpstreamSlot
from baton.telemetry.upstreams import StateChange
from tests.bookkeeping import new_store

DAY_S = 86_400
NOW_S = 20_000 * DAY_S
FOREVER_S = 2**40
BOTH = ("gpu", "other")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


def minute(start_s: int, upstream: str = "gpu", **counts: Any) -> UpstreamSlot:
    return UpstreamSlot(upstream=upstream, start_s=start_s, **counts)


def change(at_s: float, state: str = "ejected", upstream: str = "gpu") -> StateChange:
    return StateChange(
        at_us=round(at_s * 1e6), upstream=upstream, worker="host/1", state=state, reason="send"
    )


def test_every_span_has_all(store: Store) -> None:
    """Two workers' sums of the same minute, and a later one; each upstream by itself."""
    counts: dict[str, Any] = dict.fromkeys(COUNTS, 2)
    store.history.add([minute(NOW_S, **counts, first={3: 1, 5: 2})], [], NOW_S)
    store.history.add([minute(NOW_S, **counts, first={5: 1})], [], NOW_S)
    more = [minute(NOW_S + 60, requests=1), minute(NOW_S, "other", requests=7)]
    store.history.add(more, [], NOW_S)
    for span_s in SPANS_S:
        slots = store.history.slots(["gpu"], span_s, 0, FOREVER_S)
        for name in COUNTS:
            expected = 5 if name == "requests" else 4
            assert expected == sum(getattr(slot, name) for slot in slots)
        assert {3: 1, 5: 3} == slots[0].first
    minutes = store.history.slots(BOTH, 60, 0, FOREVER_S)
    assert [("gpu", NOW_S), ("gpu", NOW_S + 60), ("other", NOW_S)] == [
        (each.upstream, each.start_s) for each in minutes
    ]
    assert 1 == len(store.history.slots(BOTH, 60, NOW_S + 60, FOREVER_S))
    assert 2 == len(store.history.slots(BOTH, 60, NOW_S, NOW_S + 60))
    assert [] == store.history.slots([], 60, 0, FOREVER_S)


def test_nothing_to_tell() -> None:
    """Of an upstream that is healthy and has no traffic."""
    assert not minute(NOW_S).told
    assert minute(NOW_S, first={1: 1}).told
    for name in COUNTS:
        one: dict[str, Any] = {name: 1}
        assert minute(NOW_S, **one).told


def test_changes_newest_first(store: Store) -> None:
    """In pages, of one upstream."""
    given = [
        change(NOW_S + n, state) for n, state in enumerate(("ejected", "half-open", "warming"))
    ]
    store.history.add([], [*given, change(NOW_S, upstream="other")], NOW_S)
    first = store.history.changes("gpu", 2)
    assert ["warming", "half-open"] == [each.state for each in first]
    [last] = store.history.changes("gpu", 2, first[-1].id)
    told = {n: v for n, v in msgspec.structs.asdict(last).items() if n != "id"}
    assert msgspec.structs.asdict(given[0]) == told


def test_changes_are_bounded_by_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of an upstream go; those of others stay."""
    monkeypatch.setattr(history, "CHANGES_MAX", 3)
    store.history.add([], [change(NOW_S, upstream="other")], NOW_S)
    for n in range(5):
        store.history.add([], [change(NOW_S + n)], NOW_S)
    kept = store.history.changes("gpu", 100)
    assert [4, 3, 2] == [each.at_us // 10**6 - NOW_S for each in kept]
    assert 1 == len(store.history.changes("other", 100))


def test_what_is_old_goes(store: Store) -> None:
    """Slots by their span, changes after a week and a day; not looked for at every write."""
    book = History(store.database)
    book.add([minute(NOW_S, requests=1, first={1: 1})], [change(NOW_S)], NOW_S)
    later_s = NOW_S + KEPT_S[60] + 60
    book.add([minute(later_s, requests=1)], [], later_s)
    assert 2 == len(book.slots(["gpu"], 60, 0, FOREVER_S)), "pruned a moment ago"
    book = History(store.database)
    book.add([], [change(later_s)], later_s)
    assert [later_s] == [each.start_s for each in book.slots(["gpu"], 60, 0, FOREVER_S)]
    assert 2 == sum(each.requests for each in book.slots(["gpu"], 3_600, 0, FOREVER_S))
    assert 2 == len(book.changes("gpu", 100))
    late_s = later_s + max(CHANGES_KEPT_S, *KEPT_S.values()) + 3_600
    History(store.database).add([], [], late_s)
    assert [] == [each for span_s in SPANS_S for each in book.slots(["gpu"], span_s, 0, FOREVER_S)]
    assert [] == book.changes("gpu", 100)
