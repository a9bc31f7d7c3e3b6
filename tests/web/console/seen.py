"""Upstreams' histories, as if workers had seen them."""

from baton.stores.book import Store
from baton.stores.history import UpstreamSlot
from baton.telemetry.upstreams import StateChange

MINUTES = 24 * 60


def see(store: Store, upstream: str, now_s: int, *, troubled: bool = True) -> None:
    """A day of traffic; `troubled`: with an outage, a slow start and a moment's failures."""
    minutes = [_minute(upstream, now_s, ago, troubled) for ago in range(MINUTES)]
    states = ("ejected", "half-open", "ejected", "half-open", "warming", "healthy")
    changes = [
        StateChange(
            at_us=(now_s - 3_000 + 60 * n) * 10**6,
            upstream=upstream,
            worker="relay-1/4711",
            state=state,
            reason="first_byte status 503" if state == "ejected" else "",
        )
        for n, state in enumerate(states)
    ]
    store.history.add(minutes, changes if troubled else (), now_s)


def _minute(upstream: str, now_s: int, ago: int, troubled: bool) -> UpstreamSlot:
    slot = UpstreamSlot(upstream=upstream, start_s=now_s // 60 * 60 - 60 * ago)
    if 600 < ago < 720:
        return slot
    slot.requests = 20 + (ago * 7) % 30
    slot.first = {3 + ago % 3: 10, 7 + ago % 2: 1}
    if not troubled:
        return slot
    if 40 < ago <= 50:
        slot.requests, slot.failed, slot.first = 4, 4, {}
        slot.ejected_ms, slot.failed_calls, slot.lost_streams, slot.handoffs = 60_000, 6, 3, 3
        slot.ejections = 1
    elif 37 < ago <= 40:
        slot.half_open_ms = 20_000
    elif 35 < ago <= 37:
        slot.warming_ms = 30_000
    elif ago in (10, 11, 300):
        slot.failed_calls, slot.degraded_ms = 2, 400
    return slot
