"""How many threads compute while others use the machine, too. Pure.

Theory of operation. The threads of a step meet hundreds of times, and spin while they wait for each
other; where one of them has to share its core with a neighbour, all wait for it: beside one busy
process two threads on two cores are slower than one, beside two nearly stand still (measured: 117
tokens per second alone, 58, below 2). So fewer compute while threads of ours are kept from running,
one less for each core that is missing, and one more again once a core has been idle for a while. A
thread that was added in vain makes the next try wait twice as long.

What the operating system tells is how long our threads were ready and had no core, and how long the
machine's cores had nothing to do, both ever since; two looks make rates of them.
"""

from typing import NamedTuple

LOOK_S = 0.5
"""Looks are so far apart; and further apart than"""
STALE_S = 3.0
"""they tell nothing of what is now."""
KEPT_CORES = 0.25
"""So much of a core was missing: threads of ours wait for a neighbour. A neighbour that runs all
the time takes half of the core that it shares."""
IDLE_CORES = 0.75
"""So much of a core had nothing to do: one more thread has room."""
CALM_LOOKS, CALM_LOOKS_MAX = 4, 64
"""So many looks in a row must find that, at first and at most."""


class Usage(NamedTuple):
    """Seconds since the beginning, summed over threads and cores."""

    delayed_s: float
    """Our threads were ready and waited for a core."""
    idle_s: float
    """Cores had nothing to do."""


class Crowding:
    """Decides for one context. `threads` of `most` are to compute now."""

    def __init__(self, most: int) -> None:
        self.most = self.threads = most
        self._at_s, self._usage = 0.0, Usage(0.0, 0.0)
        self._calm, self._calm_wanted = 0, CALM_LOOKS
        self._added = False
        """Whether the last change was one more."""

    def due(self, now_s: float) -> bool:
        """Whether it is time to look. Never with one thread."""
        return self.most > 1 and now_s - self._at_s >= LOOK_S

    def look(self, now_s: float, usage: Usage) -> None:
        """Decide by what happened since the last look, where that is `due`."""
        elapsed_s, before = now_s - self._at_s, self._usage
        if elapsed_s < LOOK_S:
            return
        self._at_s, self._usage = now_s, usage
        if elapsed_s > STALE_S:
            return
        missing = (usage.delayed_s - before.delayed_s) / elapsed_s
        idle = (usage.idle_s - before.idle_s) / elapsed_s
        if missing >= KEPT_CORES and self.threads > 1:
            self._fewer(missing)
        elif idle >= IDLE_CORES and self.threads < self.most:
            self._calm += 1
            if self._calm >= self._calm_wanted:
                self.threads, self._calm, self._added = self.threads + 1, 0, True
        else:
            self._calm = 0

    def _fewer(self, missing: float) -> None:
        """A neighbour that shares a core takes half of it, at least a quarter as it is seen."""
        self._calm_wanted = (
            min(2 * self._calm_wanted, CALM_LOOKS_MAX) if self._added else CALM_LOOKS
        )
        neighbours = max(1, round(2 * missing))
        self.threads = max(1, self.threads - neighbours)
        self._calm, self._added = 0, False
