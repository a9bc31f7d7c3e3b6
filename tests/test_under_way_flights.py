"""Requests on the fast path, as those see them whom turns concern: they land before they look."""

import pathlib
import time

from tests.flying import Sky, answer, flying
from tests.relaying import USER


def out(sky: Sky) -> None:
    """The next answer waits until it is let go."""
    sky.upstream.answers(answer(), held=True)


async def among(sky: Sky, subjects: list[str]) -> set[str]:
    return sky.relay.worker.room.under_way.among(subjects)


async def landed(sky: Sky, older_s: float) -> int:
    sky.relay.worker.room.under_way.land(older_s)
    return sky.course.landed


def test_keys_with_a_flight_are_under_way(tmp_path: pathlib.Path) -> None:
    """And their flights end as they would have."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        [record] = sky.relay.store.keys.find(USER)
        assert set() == sky.relay.run(among(sky, [record.id]))
        out(sky)
        caller.send()
        sky.asked(2)
        assert set() == sky.relay.run(among(sky, ["key_of_nobody"]))
        assert {record.id} == sky.relay.run(among(sky, [record.id]))
        assert (1, 0, 1) == sky.course.counts
        sky.open()
        assert 200 == caller.receive().status
        assert 200 == caller.complete().status
        sky.quiet()
        assert set() == sky.relay.run(among(sky, [record.id]))
    assert [11] * 3 == [row.charge for row in sky.relay.rows()]


def test_old_ones_land_and_young_ones_fly_on(tmp_path: pathlib.Path) -> None:
    with flying(tmp_path) as sky, sky.warm() as old, sky.warm() as young:
        old.complete()  # two idle connections of the upstream, now and then one
        for caller in (old, young):
            out(sky)
            caller.send()
        sky.asked(5)
        before = sky.course.landed  # where there was one connection alone
        assert before == sky.relay.run(landed(sky, 0.4))
        assert 2 == sky.relay.run(landed(sky, 0.0))
        assert 2 == sky.relay.run(landed(sky, 0.0))
        sky.open()
        assert [200, 200] == [old.receive().status, young.receive().status]
        sky.quiet()


def test_a_key_that_expires_meanwhile(tmp_path: pathlib.Path) -> None:
    """Takes its flight along, before half a minute of waiting is over."""
    with flying(tmp_path) as sky:
        sky.relay.key("brief")
        [record] = sky.relay.store.keys.find("brief")
        ends_us = time.time_ns() // 1000 + 500_000
        sky.relay.store.keys.update(record.id, "test", expires_us=ends_us)
        time.sleep(0.2)  # until it is heard of
        with sky.warm("brief") as caller:
            out(sky)
            assert 401 == caller.complete().status
            assert time.time_ns() // 1000 >= ends_us
            sky.until(lambda: sky.upstream.aborted == 1)
            sky.quiet()
        assert (1, 0, 1) == sky.course.counts
    assert ["settled", "released"] == [row.state for row in sky.relay.rows()]


def test_by_itself_after_half_a_second(tmp_path: pathlib.Path) -> None:
    with flying(tmp_path) as sky, sky.warm() as caller:
        out(sky)
        caller.send()
        sky.until(lambda: sky.course.landed == 1)
        sky.open()
        assert 200 == caller.receive().status
        sky.quiet()
