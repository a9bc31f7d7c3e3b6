"""Who has a lane of the fast path, what it knows, and for how long it is believed."""

import pathlib
import time
from typing import Any

import pytest

from baton.decoding import PlainRequest
from baton.lanes import LANE_S, Fork, Lane, Lanes
from baton.protocol import RequestLimits
from baton.stores.base import PriceRecord
from baton.upstreams.baton import BatonAdapter
from tests.bookkeeping import PRICE, new_key
from tests.fakes.wire import whole
from tests.flying import JSON, PROMPT, Kept, Sky, flying
from tests.relaying import MODEL, THEIRS

LIMITS = RequestLimits(stops_max=3)
REQUESTS_MAX = 60


def lanes_of(sky: Sky, shown: str) -> Lanes:
    """Lanes in a worker that knows the key."""
    worker = sky.relay.worker
    with Kept(sky, shown) as caller:
        caller.complete()
    return Lanes(worker._configured, worker._gate, worker._ledger, LIMITS)


def lane_of(sky: Sky, shown: str, model: str = MODEL) -> Lane | None:
    lane = lanes_of(sky, shown).lane(b"Bearer " + shown.encode(), model, time.time())
    assert not isinstance(lane, Fork)
    return lane


@pytest.mark.parametrize(
    ("options", "has"),
    [
        ({}, True),
        ({"requests_per_minute": 100, "budget_nano": 10**9}, True),
        ({"models": (MODEL, "other")}, True),
        ({"models": ("other",)}, False),
        ({"tokens_per_minute": 100_000}, False),
        ({"requests_at_once": 3}, False),
        ({"networks": ("127.0.0.0/8",)}, False),
        ({"strict": True}, False),
        ({"deterministic": True}, False),
        ({"keep_content_days": 1}, False),
    ],
)
def test_who_has_one(tmp_path: pathlib.Path, options: dict[str, Any], has: bool) -> None:
    """Keys about which there is nothing to find out but a rate and budgets."""
    with flying(tmp_path) as sky:
        new_key(sky.relay.worker._store, "other", **options)
        assert has is (lane_of(sky, f"sk-test-{'other':_<40}") is not None)


def test_until_when(tmp_path: pathlib.Path) -> None:
    """It is the same one for a moment, and another one as soon as something changes."""
    with flying(tmp_path) as sky:
        shown = b"Bearer " + sky.key.encode()
        lanes, now_s = lanes_of(sky, sky.key), time.time()
        lane = lanes.lane(shown, MODEL, now_s)
        assert lane is not None
        assert lane is lanes.lane(shown, MODEL, now_s + LANE_S / 2)
        assert lane is not lanes.lane(shown, MODEL, now_s + LANE_S)
        lane = lanes.lane(shown, MODEL, now_s + LANE_S)
        sky.relay.worker._gate.changed(())
        fresh = lanes.lane(shown, MODEL, now_s + LANE_S)
        assert lane is not fresh
        sky.relay.run(sky.relay.worker.refresh())
        assert fresh is not lanes.lane(shown, MODEL, now_s + LANE_S)
        assert lanes.lane(b"Bearer sk-unknown", MODEL, now_s) is None
        assert lanes.lane(shown, "unknown", now_s) is None


def test_the_hour_of_a_price(tmp_path: pathlib.Path) -> None:
    """It knows the price in force, and ends when another one begins to hold."""
    with flying(tmp_path) as sky:
        from_us = time.time_ns() // 1000 + 400_000
        price = PriceRecord(
            version=0, model=MODEL, effective_us=from_us, input_pico=7, output_pico=7
        )
        sky.relay.worker._store.prices.set(price, "test")
        sky.relay.run(sky.relay.worker.refresh())
        lanes, shown = lanes_of(sky, sky.key), b"Bearer " + sky.key.encode()
        before = lanes.lane(shown, MODEL, from_us / 1e6 - 0.001)
        after = lanes.lane(shown, MODEL, from_us / 1e6)
        assert isinstance(before, Lane)
        assert isinstance(after, Lane)
        assert from_us / 1e6 == before.until_s
        assert 7 != before.price.input_pico
        assert 7 == after.price.input_pico


def test_a_clock_that_is_set_back(tmp_path: pathlib.Path) -> None:
    """Nothing is believed that was found out in what is the future now."""
    with flying(tmp_path) as sky:
        lanes, shown, now_s = lanes_of(sky, sky.key), b"Bearer " + sky.key.encode(), time.time()
        later = lanes.lane(shown, MODEL, now_s + 3600)
        lane = lanes.lane(shown, MODEL, now_s)
        assert later is not lane
        assert lane is lanes.lane(shown, MODEL, now_s + LANE_S / 2)


def test_what_goes_out(tmp_path: pathlib.Path) -> None:
    """Around the prompt stand the bytes of the adapter's own request, for every kind of request;
    none where one is beyond the limits, or has more stops than the server takes."""
    with flying(tmp_path) as sky:
        lane = lane_of(sky, sky.key)
        assert lane is not None
        for plain in (
            PlainRequest(MODEL, 'é "x"\n'),
            PlainRequest(MODEL, "", max_tokens=3, temperature=0.0),
            PlainRequest(MODEL, "p", top_p=0.5, stop=["a", "b"]),
        ):
            request, found = lane.request(plain), lane.prepared(plain)
            assert request is not None
            assert found is not None
            assert found is lane.prepared(plain)
            body = lane.upstream.adapter.request(lane.call(request)).body
            assert body.startswith(found.before)
            assert body.endswith(found.after)
        assert lane.prepared(PlainRequest(MODEL, "p", max_tokens=10**9)) is None
        assert lane.prepared(PlainRequest(MODEL, "p", stop=["a", "b", "c", "d"])) is None


def fly(sky: Sky, caller: Kept) -> None:
    """Ask until some requests have flown. One lands where an upstream has no connection yet, or
    where an answer happens to be read in two parts."""
    for number in range(REQUESTS_MAX):
        assert 200 == caller.complete(prompt=f"{PROMPT} {number}").status
        if number >= 7 and sky.course.flown > 4:
            return
    raise AssertionError(f"of {REQUESTS_MAX} requests {sky.course.flown} flew")


def test_several_upstreams(tmp_path: pathlib.Path) -> None:
    """Of a model that two upstreams have, requests go where the room would send them; where one is
    no lane, it is the room's."""
    with flying(tmp_path) as sky:
        relay = sky.relay
        relay.add_upstream_at("second", sky.upstream.url, "vllm", THEIRS)
        relay.run(relay.worker.refresh())
        lanes, shown = lanes_of(sky, sky.key), b"Bearer " + sky.key.encode()
        fork = lanes.lane(shown, MODEL, time.time())
        assert isinstance(fork, Fork)
        long = "the same beginning " * 40
        chosen = [fork.choose(long, seed) for seed in range(9)]
        assert chosen[0] is not None
        assert [chosen[0]] * 9 == chosen
        found = [fork.choose("p", seed) for seed in range(99)]
        assert {"fake", "second"} == {lane.candidate.upstream for lane in found if lane is not None}
        with sky.warm() as caller:
            fly(sky, caller)
        relay.add_upstream_at("third", sky.upstream.url, "openai-chat", THEIRS)
        relay.run(relay.worker.refresh())
        assert lanes.lane(shown, MODEL, time.time()) is None


def test_a_hold_covers_what_any_of_them_counts(tmp_path: pathlib.Path) -> None:
    """Another Baton may put a chat's words around a prompt: also what begins elsewhere may go on
    there."""
    with flying(tmp_path) as sky:
        relay = sky.relay
        relay.add_upstream_at("second", sky.upstream.url, "baton", THEIRS)
        relay.run(relay.worker.refresh())
        fork = lanes_of(sky, sky.key).lane(b"Bearer " + sky.key.encode(), MODEL, time.time())
        assert isinstance(fork, Fork)
        around = BatonAdapter.capabilities.within_tokens
        assert [around, around] == [lane.around_tokens for lane in fork.lanes]
        with sky.warm() as caller:
            fly(sky, caller)
    dearer = around * PRICE.input_pico // 1000
    assert [True] * 8 == [row.hold > dearer for row in relay.rows()[-8:]]


def test_the_other_one_answers(tmp_path: pathlib.Path) -> None:
    """What began at an upstream that refuses is answered by the other one."""
    with flying(tmp_path) as sky:
        relay = sky.relay
        relay.add_upstream_at("second", sky.upstream.url, "vllm", THEIRS)
        relay.run(relay.worker.refresh())
        with sky.warm() as caller:
            caller.complete()
            before = sky.course.landed
            sky.upstream.answers(whole(b"{}", JSON, status="502 Bad"))
            assert 200 == caller.complete().status
            assert before + 1 == sky.course.landed
