"""Which tickets of a journal failed, for as long as somebody may ask. Pure."""

import bisect

FAILURES_MAX = 65_536
"""Runs of failed tickets that are remembered; older tickets then count as failed."""


class Failed:
    """Which tickets failed, as ascending runs."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before = 0
        self.any = False

    def add(self, ticket: int) -> None:
        """Tickets fail in ascending order."""
        self.any = True
        if self._ends and self._ends[-1] == ticket - 1:
            self._ends[-1] = ticket
            return
        self._starts.append(ticket)
        self._ends.append(ticket)
        if len(self._starts) > FAILURES_MAX:
            self._before = self._ends.pop(0)
            self._starts.pop(0)

    def has(self, ticket: int) -> bool:
        if not self._starts:
            return False
        if ticket <= self._before:
            return True
        run = bisect.bisect_right(self._starts, ticket) - 1
        return run >= 0 and ticket <= self._ends[run]
