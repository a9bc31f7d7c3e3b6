"""Who gets the next sequence id. Pure: no clock, no llama.cpp, no threads.

Theory of operation. A *group* is one prompt of a call; its samples share the computation of that
prompt. Sequence ids are handed out one at a time, each for one sample. A group's first id computes
its prompt; what it gets meanwhile stays reserved for its other samples; an id that comes later
starts as a copy of a sibling. So `n` may be larger than the engine: samples run in waves. A started
group keeps at least one id, which holds its computed prompt, until its last sample has one
(`release` gives a last id back to its own group), and nobody waits for an id that another one must
give up first: there is no deadlock.

Fairness: the next id goes to the tenant that holds the fewest, among equals to the one served
longest ago; first come, first served within a tenant. The lowest free id is handed out, for
llama.cpp computes neighbouring ids together.

The queue is bounded by choices, but a call counts for no more than could run at once: a tenant's
array of thousands of prompts must not shut the others out, whose turn comes no later for it."""

import heapq
from collections import Counter, deque
from collections.abc import Hashable, Iterable

import msgspec


class Group(msgspec.Struct, eq=False):
    """One prompt of a call, and its samples that have no sequence yet."""

    call: Hashable
    """Whatever identifies the call: its groups are withdrawn and counted together."""
    tenant: str
    pending: deque[int]
    """Samples without an id, in order."""
    holds: int = 0
    """Ids that it has now."""
    paused: bool = False
    """Its reader is slow: it gets no further id for now."""


class Roster:
    """Free sequence ids, and the groups that wait for one."""

    def __init__(self, sequences_max: int, queue_max: int) -> None:
        self.sequences_max, self.queue_max = sequences_max, queue_max
        self._free = list(range(sequences_max))
        self._waiting: dict[str, deque[Group]] = {}
        self._held: Counter[str] = Counter()

    @property
    def free(self) -> tuple[int, ...]:
        return tuple(sorted(self._free))

    @property
    def waiting(self) -> int:
        """Choices that have no id yet."""
        return sum(len(group.pending) for group in self._groups())

    def admits(self, choices: int) -> bool:
        """Whether a call of so many choices may wait. When nothing waits, any call may.

        Those for whom an id is free only wait until the next round hands it out: they do not
        count, else a burst on an idle engine would be refused where the thread was slow to look."""
        demand: Counter[Hashable] = Counter()
        for group in self._groups():
            demand[group.call] += len(group.pending)
        waiting = sum(min(count, self.sequences_max) for count in demand.values())
        room = self.queue_max + len(self._free)
        return not waiting or waiting + min(choices, self.sequences_max) <= room

    def push(self, groups: Iterable[Group]) -> None:
        """Queue groups behind what their tenant already has."""
        for group in groups:
            assert group.pending, "a group without samples would wait for nothing"
            self._waiting.setdefault(group.tenant, deque()).append(group)

    def grant(self) -> tuple[Group, int, int] | None:
        """The next group, sample and id; None when nobody may run or no id is free."""
        group = self._next() if self._free else None
        if group is None:
            return None
        sample, sequence = group.pending.popleft(), heapq.heappop(self._free)
        group.holds += 1
        self._held[group.tenant] += 1
        queue = self._waiting.pop(group.tenant)
        if not group.pending:
            queue.remove(group)
        if queue:  # at the end of the line of tenants
            self._waiting[group.tenant] = queue
        return group, sample, sequence

    def release(self, group: Group, sequence: int) -> int | None:
        """Give an id back. Returns the sample that runs on it next where the group must keep it."""
        if group.holds == 1 and group.pending:
            sample = group.pending.popleft()
            if not group.pending:
                self._leave(group)
            return sample
        group.holds -= 1
        self._held[group.tenant] -= 1
        if not self._held[group.tenant]:
            del self._held[group.tenant]
        heapq.heappush(self._free, sequence)
        return None

    def withdraw(self, call: Hashable) -> None:
        """The samples of a call that wait shall not run; those that run are released one by one."""
        for tenant, queue in list(self._waiting.items()):
            for group in queue:
                if group.call is call:
                    group.pending.clear()
            self._keep(tenant, deque(group for group in queue if group.call is not call))

    def _groups(self) -> Iterable[Group]:
        return (group for queue in self._waiting.values() for group in queue)

    def _next(self) -> Group | None:
        """The tenants' dict is in order of service: min() takes the first of equals."""
        ready = (
            (tenant, group)
            for tenant, queue in self._waiting.items()
            if (group := next((group for group in queue if not group.paused), None)) is not None
        )
        best = min(ready, key=lambda pair: self._held[pair[0]], default=None)
        return None if best is None else best[1]

    def _leave(self, group: Group) -> None:
        queue = self._waiting.get(group.tenant, deque())
        if group in queue:
            queue.remove(group)
            self._keep(group.tenant, queue)

    def _keep(self, tenant: str, queue: deque[Group]) -> None:
        if queue:
            self._waiting[tenant] = queue
        else:
            self._waiting.pop(tenant, None)
