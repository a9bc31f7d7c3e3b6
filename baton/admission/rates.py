"""Requests per minute, by the generic cell rate algorithm. Pure; the time is passed in.

One number a key: the theoretical arrival time, up to which its allowance is used. A request counts
one, however many prompts it has: tokens and money have limits of their own. A key may use its whole
minute at once; from then on it gets one request each 60/limit seconds.
"""

import math

import msgspec

MINUTE_NS = 60_000_000_000
RATE_MAX = 100_000
"""Requests per minute; a higher limit is counted as this one."""


class Decision(msgspec.Struct, frozen=True):
    """Whether a request may pass, and what to tell its caller."""

    allowed: bool
    wait_s: float
    """Until the next one would pass; 0 when this one did."""
    limit: int
    remaining: int
    """Requests that would pass at once after this one."""
    reset_s: float
    """Until the whole minute is available again."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("x-ratelimit-limit-requests", str(self.limit)),
            ("x-ratelimit-remaining-requests", str(self.remaining)),
            ("x-ratelimit-reset-requests", duration(self.reset_s)),
        )


class Rate:
    """The state of one limit; `admit` is its only change.

    Integers of nanoseconds: sums of floats would be off by a request where the clock is large."""

    __slots__ = ("_full_at_ns",)

    def __init__(self) -> None:
        self._full_at_ns = 0

    def admit(self, limit: int, now_s: float) -> Decision:
        """Count one request at `now_s` (any clock that does not go back), if it fits."""
        now_ns, interval_ns = round(now_s * 1e9), MINUTE_NS // min(limit, RATE_MAX)
        used_ns = max(0, self._full_at_ns - now_ns)
        after_ns = used_ns + interval_ns
        excess_ns = after_ns - MINUTE_NS
        if excess_ns > 0:
            return Decision(False, excess_ns / 1e9, limit, 0, used_ns / 1e9)
        self._full_at_ns = now_ns + after_ns
        return Decision(True, 0.0, limit, -excess_ns // interval_ns, after_ns / 1e9)


def duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
