"""How relay processes are at this moment: what an operator is to be woken for, as plain data that
crosses processes and adds up. All of it is 0 where everything is as it should be.
"""

import msgspec


class Condition(msgspec.Struct):
    """Of one relay process (or of several, added)."""

    journals_failing: int = 0
    """Processes whose journal takes no rows: they refuse requests."""
    unfolded_s: int = 0
    """For how long ended requests have waited for their place in the book; of several processes
    the longest. Below a second there is nothing to tell of."""
    counting_apart: int = 0
    """Processes that count rates without the other nodes."""

    def add(self, other: "Condition") -> None:
        self.journals_failing += other.journals_failing
        self.unfolded_s = max(self.unfolded_s, other.unfolded_s)
        self.counting_apart += other.counting_apart
