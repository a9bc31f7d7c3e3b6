"""Hand-off: a call whose upstream was lost goes on at another one, and its reader does not notice.

Theory of operation. `Counted.read` is where a running call breaks. It asks its request's `Handing`
for a successor: a stream in the terms of the call that was lost. What is left of the call is worked
out from what was received (`semantics/handoff.py`, pure); each unfinished choice becomes a call of
its own, and their deltas are stitched to what came before (`semantics/seam.py`, pure). An upstream
that can compute the same once more (the embedded engine) replays the whole call instead.

Who goes on: the plan's other upstreams, best first, then the lost one itself, which may be back by
then; in rounds with growing pauses until the time is over. A replay is worth waiting for where the
caller asked for determinism; else whoever is there first takes over. Each call is handed over so
often at most; each hand-off is counted in the retry budget, and pays for its own retries.

Where nobody can go on, the error of the cut comes out again: the answer is not whole, and says so.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from typing import Protocol, cast

import msgspec

from baton.answer import Counted, Cut
from baton.errors import RequestError
from baton.handed_over import HandedOver, Leg
from baton.routing.plan import Attempt, Plan
from baton.routing.serving import serves
from baton.semantics.handoff import (
    NotResumable,
    Remainder,
    Rest,
    again,
    remainder,
    replayed,
    untouched,
)
from baton.upstreams.base import Begun, Replaying, Upstream, UpstreamError, UpstreamStream

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 1.0
PASSING = (429, 503)
"""Statuses of a refusal that may be over in a moment."""


class Hosting(Protocol):
    """What a hosted upstream's site says of it."""

    handoffs: int
    """Calls that were handed over from there."""

    @property
    def upstream(self) -> Upstream: ...


class Roster(Protocol):
    """Who could go on: `relay.Relay`."""

    def ordered(self, plan: Plan, tried: Collection[str] = ()) -> tuple[Attempt, ...]:
        """The plan's attempts that may be made now, best first, without those `tried`."""
        ...

    def site(self, name: str) -> Hosting | None:
        """The upstream of that name, unless it was removed."""
        ...

    def may_retry(self) -> bool:
        """Whether one more attempt may be made; it is counted."""
        ...


class Bounds(msgspec.Struct, frozen=True):
    """The settings of hand-offs."""

    handoffs_max: int = 2
    """Of one call."""
    wait_s: float = 30.0
    """How long an upstream may take to come back, where nobody else can go on."""
    parallel_max: int = 16
    """Choices of one call that are resumed at once."""


class Place(msgspec.Struct, frozen=True):
    """An upstream that may go on, and what it calls the model."""

    upstream: Upstream
    model: str


class Handing:
    """Implements answer.Onward for the calls of one request. Costs nothing until one is lost."""

    __slots__ = ("_plan", "_roster", "bounds", "handoffs")

    def __init__(self, roster: Roster, plan: Plan, bounds: Bounds) -> None:
        self._roster, self._plan, self.bounds = roster, plan, bounds
        self.handoffs = 0

    async def successor(self, cut: Cut) -> UpstreamStream:
        """The rest of a call. Raises the error of the cut where nobody can go on."""
        if cut.earlier >= self.bounds.handoffs_max:
            raise cut.error
        return await _Search(self, cut).find()

    def count(self, lost: str) -> None:
        """A call of the upstream `lost` was handed over."""
        self.handoffs += 1
        site = self._roster.site(lost)
        if site is not None:
            site.handoffs += 1

    def may_retry(self) -> bool:
        return self._roster.may_retry()

    def others(self, cut: Cut, lost: str) -> list[Place]:
        """Who may go on instead of the lost upstream, best first."""
        return self._places(cut, self._roster.ordered(self._plan, (lost,)))

    def itself(self, cut: Cut, lost: str) -> list[Place]:
        """The lost one, which may be back by now."""
        return self._places(cut, [each for each in self._plan.attempts if each.upstream == lost])

    def _places(self, cut: Cut, attempts: Iterable[Attempt]) -> list[Place]:
        name, found, fresh = cut.upstream.name, [], untouched(cut.received)
        began = next((each for each in self._plan.attempts if each.upstream == name), None)
        for attempt in attempts:
            site = self._roster.site(attempt.upstream)
            if site is not None and began is not None and _same_text(began, attempt, fresh):
                found.append(Place(site.upstream, attempt.call.model))
        return found

    async def open(self, cut: Cut, place: Place, rest: Rest) -> Leg:
        """Begin a rest there, as a stream where it has any. Raises as Upstream.open does."""
        upstream = place.upstream
        stream = rest.call.stream and upstream.capabilities.streams
        call = msgspec.structs.replace(rest.call, model=place.model, stream=stream)
        return self.begin(cut, Counted(call, upstream, await upstream.open(call)), rest)

    def begin(self, cut: Cut, counted: Counted, rest: Rest) -> Leg:
        """Keep account of a call that was accepted in the lost one's place."""
        leg = Leg(counted, rest)
        cut.attempts.append(leg)
        return leg


class _Search:
    """Looking for somebody who goes on with one call."""

    def __init__(self, handing: Handing, cut: Cut) -> None:
        self._handing, self._cut = handing, cut
        stream, kind = cut.stream, cut.error.kind
        self._replays = (
            cut.upstream.capabilities.replay
            and cut.received.resumable
            and kind != "status"  # it said itself that it cannot compute this
            and (not isinstance(stream, HandedOver) or stream.exact)
        )
        self._lost = stream.host if isinstance(stream, HandedOver) else cut.upstream.name
        self._unfit: set[str] = set()
        """Upstreams that would answer the same again."""
        self._paid = True
        """Whether the next attempt is paid for. The first one of a hand-off is counted, but never
        refused: when an upstream dies, all that ran there is handed over at once."""
        self._loop = asyncio.get_running_loop()

    async def find(self) -> UpstreamStream:
        """The successor. Raises the error of the cut."""
        found: UpstreamStream | None = self._finished()
        if found is None:
            self._handing.may_retry()
        if found is None and self._replays and self._cut.call.deterministic:
            found = await self._ask_on(alone=True)
        if found is None:
            found = await self._ask_on(alone=False)
        if found is None:
            raise self._cut.error
        return found

    def _finished(self) -> HandedOver | None:
        """Where every choice has all it can have, nobody else is needed."""
        try:
            left = self._left()
        except NotResumable:
            return None
        return None if left.rests else HandedOver(self._cut, left, self._lost, self._count)

    def _left(self) -> Remainder:
        return remainder(self._cut.call, self._cut.received, self._cut.counted)

    async def _count(self, rest: Rest) -> Leg | None:
        """Have a prompt counted, by whoever can; None where nobody does."""
        for place in self._places(alone=False):
            if not place.upstream.capabilities.exact_usage:
                continue
            try:
                leg = await self._handing.open(self._cut, place, rest)
            except (UpstreamError, RequestError):
                continue
            with contextlib.closing(leg), contextlib.suppress(UpstreamError, RequestError):
                while await leg.read():
                    """Nobody sees the token."""
                return leg
        return None

    def _places(self, alone: bool) -> list[Place]:
        """Who is to be asked now; `alone`: only the lost one. A replay is better than any rest."""
        itself = self._handing.itself(self._cut, self._lost)
        others = [] if alone else self._handing.others(self._cut, self._lost)
        found = itself + others if self._replays else others + itself
        return [place for place in found if place.upstream.name not in self._unfit]

    async def _ask_on(self, alone: bool) -> HandedOver | None:
        """The first that accepts; None where nobody can, or the time is over."""
        until_s, pause_s = self._loop.time() + self._handing.bounds.wait_s, PAUSE_FIRST_S
        while places := self._places(alone):
            for place in places:
                if not (self._paid or self._handing.may_retry()):
                    break  # it earns again while we wait
                found = await self._ask(place)
                if found is not None:
                    self._handing.count(self._lost)
                    return found
            if self._loop.time() + pause_s > until_s:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        return None

    async def _ask(self, place: Place) -> HandedOver | None:
        """Whether this one goes on."""
        self._paid = False
        try:
            if self._replays and place.upstream is self._cut.upstream:
                return await self._replay(place)
            return await self._resume(place)
        except NotResumable:
            self._paid = True  # nobody was asked
            self._unfit.add(place.upstream.name)
        except UpstreamError as error:
            # One that cannot even be reached did no work: it costs no retry.
            self._paid = error.phase == "connect"
        except RequestError as error:
            self._paid = True  # refused before any work
            if error.status not in PASSING:
                self._unfit.add(place.upstream.name)
        return None

    async def _resume(self, place: Place) -> HandedOver:
        """Go on from what was received."""
        cut, handing = self._cut, self._handing
        native, nothing_came = place.upstream.capabilities, untouched(cut.received)
        left = again(cut.call)
        if not nothing_came or not serves(cut.call, native):
            left = self._left()
        if not all(serves(rest.call, native) for rest in left.rests):
            raise NotResumable("this upstream lacks what the call needs")
        successor = HandedOver(cut, left, place.upstream.name, self._count)
        await successor.begin(
            lambda rest: handing.open(cut, place, rest), handing.bounds.parallel_max
        )
        return successor

    async def _replay(self, place: Place) -> HandedOver:
        """Have the same computed again. Where it is not the same any more, resume instead."""
        cut, received = self._cut, self._cut.received
        choices = range(len(cut.call.prompts) * cut.call.n)
        begun = Begun(
            [received.token_ids(index) for index in choices],
            [index in received.choices for index in choices],
        )
        left = replayed(cut.call, received)
        successor = HandedOver(cut, left, place.upstream.name, self._count)
        upstream = cast(Replaying, place.upstream)  # its capability says so
        try:
            stream = await upstream.replay(successor.origin, cut.call, begun)
        except UpstreamError as error:
            self._replays = error.phase != "send"
            raise
        counted = Counted(cut.call, place.upstream, stream)
        successor.replays(self._handing.begin(cut, counted, left.rests[0]))
        return successor


def _same_text(began: Attempt, other: Attempt, fresh: bool) -> bool:
    """Whether the other attempt's upstream would have been sent what the one that began was.

    One that only chats goes on with no raw text, but may be asked what another one that chats has
    not begun to answer (`fresh`). Fields of single engines change what is sampled: who does not
    take the same ones would answer otherwise. A template around a hole is the model's own.
    """
    if "continuation" in other.fills and not (fresh and "continuation" in began.fills):
        return False
    if began.call.extra != other.call.extra:
        return False
    infilled = "suffix" in began.fills or "suffix" in other.fills
    return not infilled or began.work == other.work
