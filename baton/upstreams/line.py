"""Who waits for a place at an upstream, and whose turn it is: fair and bounded. Pure.

Tenants take turns, so that one with a thousand requests does not keep out one with a single
request; each tenant's own are served first come, first served. A tenant may have as many waiting as
there are places left (Choudhury and Hahne, 1998): one alone fills half of the line, and there is
always room for the first request of another. Whoever would wait too long is refused at once:
`wait_s` tells it from how fast the line has moved.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")
PACE_OF = 32
"""The pace is measured over so many steps: places that were taken together become free together."""
PACE_OF_MIN = 8


class Line(Generic[Waiter]):
    """Waiters by tenant. Times are seconds of one monotonic clock."""

    def __init__(self, waiting_max: int) -> None:
        self._max = waiting_max
        self._tenants: OrderedDict[str, deque[tuple[float, Waiter]]] = OrderedDict()
        self.count = 0
        self._steps_s: deque[float] = deque(maxlen=PACE_OF)
        """How long it stood before each of the last ones left; time when it was empty is none."""
        self._since_s = 0.0
        """When the last one left, or since when somebody waits again."""

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Line {self.count} of {len(self._tenants)} tenants>"

    def full(self, tenant: str) -> bool:
        """Whether this tenant has all that it may have."""
        return self._own(tenant) >= self._max - self.count

    @property
    def moves(self) -> bool:
        """Whether its pace is known."""
        return len(self._steps_s) >= PACE_OF_MIN

    def wait_s(self, tenant: str, now_s: float) -> float:
        """How long its next one would wait, at the pace of late; 0 while that is not known."""
        if not self.moves:
            return 0.0
        standing_s = now_s - self._since_s if self.count else 0.0
        step_s = sum(self._steps_s) / len(self._steps_s)
        others = len(self._tenants) - (tenant in self._tenants)
        ahead = min(self.count, self._own(tenant) + others * (self._own(tenant) + 1))
        return max((ahead + 1) * step_s, standing_s)

    def join(self, tenant: str, waiter: Waiter, now_s: float) -> None:
        if not self.count:
            self._since_s = now_s
        self._tenants.setdefault(tenant, deque()).append((now_s, waiter))
        self.count += 1

    def next(self, now_s: float) -> Waiter | None:
        """The one whose turn it is leaves; None where nobody waits."""
        if not self.count:
            return None
        tenant, own = next(iter(self._tenants.items()))
        _, waiter = own.popleft()
        self.count -= 1
        if own:
            self._tenants.move_to_end(tenant)
        else:
            del self._tenants[tenant]
        self._steps_s.append(now_s - self._since_s)
        self._since_s = now_s
        return waiter

    def leave(self, tenant: str, waiter: Waiter) -> None:
        """It does not want to wait any more."""
        own = self._tenants.get(tenant, deque())
        for place, (_, each) in enumerate(own):
            if each == waiter:
                del own[place]
                self.count -= 1
                break
        if not own:
            self._tenants.pop(tenant, None)

    def overdue(self, before_s: float) -> list[Waiter]:
        """Those that joined before then leave."""
        found = []
        for tenant, own in list(self._tenants.items()):
            while own and own[0][0] < before_s:
                found.append(own.popleft()[1])
            if not own:
                del self._tenants[tenant]
        self.count -= len(found)
        return found

    def clear(self) -> list[Waiter]:
        """All leave."""
        return self.overdue(float("inf"))

    def _own(self, tenant: str) -> int:
        return len(self._tenants.get(tenant, ()))
