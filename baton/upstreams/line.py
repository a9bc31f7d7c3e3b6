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
SMOOTHING = 0.2
"""What the last step counts in the pace."""


class Line(Generic[Waiter]):
    """Waiters by tenant. Times are seconds of one monotonic clock."""

    def __init__(self, waiting_max: int) -> None:
        self._max = waiting_max
        self._tenants: OrderedDict[str, deque[tuple[float, Waiter]]] = OrderedDict()
        self.count = 0
        self._moved_s: float | None = None
        """When the last one left, if others stayed."""
        self._step_s: float | None = None

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Line {self.count} of {len(self._tenants)} tenants>"

    def full(self, tenant: str) -> bool:
        """Whether this tenant has all that it may have."""
        return self._own(tenant) >= self._max - self.count

    def wait_s(self, tenant: str, now_s: float) -> float:
        """How long its next one would wait, at the pace of late; 0 while that is not known."""
        if self._step_s is None:
            return 0.0
        standing_s = 0.0 if self._moved_s is None else now_s - self._moved_s
        others = len(self._tenants) - (tenant in self._tenants)
        ahead = min(self.count, self._own(tenant) + others * (self._own(tenant) + 1))
        return (ahead + 1) * max(self._step_s, standing_s)

    def join(self, tenant: str, waiter: Waiter, now_s: float) -> None:
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
        self._pace(now_s)
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

    def _pace(self, now_s: float) -> None:
        if self._moved_s is not None:
            step_s = now_s - self._moved_s
            known_s = self._step_s
            self._step_s = step_s if known_s is None else known_s + SMOOTHING * (step_s - known_s)
        self._moved_s = now_s if self.count else None
