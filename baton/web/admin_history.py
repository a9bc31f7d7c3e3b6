"""/admin/v1/upstreams/{name}/history: how an upstream fared, by slots of time, and when its state
changed.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from baton.routing.routes import EMBEDDED
from baton.stores.history import ChangeRecord, UpstreamSlot
from baton.telemetry.metrics import SECONDS, Histogram
from baton.web.admin import PageLimit, Seq, stored
from baton.web.operation import Access, Nothing, Operation, Visit
from baton.web.services import Services

WindowName = Literal["hour", "day", "week"]
SlotState = Literal["idle", "healthy", "warming", "degraded", "half-open", "ejected"]
STATES: tuple[SlotState, ...] = (
    "healthy", "warming", "degraded", "half-open", "ejected", "idle",
)  # fmt: skip
"""As a legend shows them."""


class Window(msgspec.Struct, frozen=True):
    """How far back is looked, and how finely."""

    span_s: int
    slots: int

    def start_s(self, now_s: int) -> int:
        """Of the first slot, so that the last one is the present."""
        return now_s // self.span_s * self.span_s - (self.slots - 1) * self.span_s


HOUR, DAY, WEEK = Window(60, 60), Window(600, 144), Window(3_600, 168)
WINDOWS: dict[WindowName, Window] = {"hour": HOUR, "day": DAY, "week": WEEK}


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    window: WindowName = "day"
    """hour: 60 slots of a minute; day: 144 of ten minutes; week: 168 of an hour."""
    before: Seq | None = None
    """The id of a change: those before it."""
    limit: PageLimit = 100
    """Changes at most."""


class HistorySlot(msgspec.Struct, frozen=True, kw_only=True):
    """What all workers saw within a slot of time. Times in a state are summed over workers."""

    start_us: int
    state: SlotState
    """The worst one; idle: no requests, and nothing to tell."""
    requests: int
    failed: int
    """Of these, with a status of 500 or above."""
    failed_calls: int
    lost_streams: int
    handoffs: int
    ejections: int
    degraded_ms: int
    """Passed over for a moment, or left alone as it wished."""
    ejected_ms: int
    half_open_ms: int
    warming_ms: int
    first_token_p50_ms: float | None
    """Of streams that ended there; null where there were none."""
    first_token_p95_ms: float | None


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream over time: every slot of the window, oldest first; changes newest first."""

    upstream: str
    window: WindowName
    span_s: int
    slots: list[HistorySlot]
    changes: list[ChangeRecord]
    next: int | None
    """Give it as `before` for the changes that follow; null: there are none."""


async def get_history(visit: Visit[Nothing, HistoryQuery]) -> HistoryView:
    services, asked, name = visit.services, visit.query, visit.part("name")
    if name != EMBEDDED or services.embedded is None:
        await stored(services.upstreams.get, name)
    slots = await stored(told, services, [name], asked.window)
    changes = await stored(services.history.changes, name, asked.limit + 1, asked.before)
    shown = changes[: asked.limit]
    return HistoryView(
        upstream=name,
        window=asked.window,
        span_s=WINDOWS[asked.window].span_s,
        slots=slots[name],
        changes=shown,
        next=shown[-1].id if len(changes) > asked.limit else None,
    )


def told(
    services: Services, upstreams: Sequence[str], window: WindowName
) -> Mapping[str, list[HistorySlot]]:
    """Every slot of the window, for each of these upstreams. Blocks, as the store does."""
    one, now_s = WINDOWS[window], services.clock_us() // 1_000_000
    start_s = one.start_s(now_s)
    until_s = start_s + one.slots * one.span_s
    found = {
        (slot.upstream, slot.start_s): slot
        for slot in services.history.slots(upstreams, one.span_s, start_s, until_s)
    }
    return {
        name: [
            shown(found.get((name, at_s)) or UpstreamSlot(upstream=name, start_s=at_s))
            for at_s in range(start_s, until_s, one.span_s)
        ]
        for name in upstreams
    }


def shown(slot: UpstreamSlot) -> HistorySlot:
    names = HistorySlot.__struct_fields__
    same = {name: getattr(slot, name) for name in names if hasattr(slot, name)}
    return HistorySlot(
        **same,
        start_us=slot.start_s * 10**6,
        state=state_of(slot),
        first_token_p50_ms=_quantile_ms(slot.first, 0.5),
        first_token_p95_ms=_quantile_ms(slot.first, 0.95),
    )


def state_of(slot: UpstreamSlot) -> SlotState:
    """The worst that any worker saw."""
    if slot.ejected_ms or slot.ejections:
        return "ejected"
    if slot.half_open_ms:
        return "half-open"
    if slot.degraded_ms or slot.failed_calls or slot.lost_streams:
        return "degraded"
    if slot.warming_ms:
        return "warming"
    return "healthy" if slot.requests else "idle"


def _quantile_ms(first: Mapping[int, int], share: float) -> float | None:
    counts = [first.get(bucket, 0) for bucket in range(len(SECONDS) + 1)]
    seconds = Histogram(counts).quantile(share)
    return None if seconds is None else round(seconds * 1000, 3)


OPERATIONS = (
    Operation(
        id="adminupstreamhistory",
        tag="admin",
        method="GET",
        path="/admin/v1/upstreams/{name}/history",
        access=Access.ADMIN,
        run=get_history,
        query=HistoryQuery,
        answer=HistoryView,
        errors=(400, 404),
    ),
)
