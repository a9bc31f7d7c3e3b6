"""Requests per minute, by the generic cell rate algorithm. Pure; the time is passed in.

One number a key: the theoretical arrival time, up to which its allowance is used. A request counts
one, however many prompts it has: tokens and money have limits of their own. A key may use its whole
minute at once; from then on it gets one request each 60/limit seconds.
"""

import math

import msgspec

MINUTE_S = 60.0


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
    """The state of one limit; `admit` is its only change."""

    __slots__ = ("_full_at_s",)

    def __init__(self) -> None:
        self._full_at_s = -math.inf

    def admit(self, limit: int, now_s: float) -> Decision:
        """Count one request at `now_s` (any clock that does not go back), if it fits."""
        interval_s = MINUTE_S / limit
        used_s = max(0.0, self._full_at_s - now_s)
        after_s = used_s + interval_s
        excess_s = after_s - MINUTE_S
        if excess_s > ROUNDING_S:
            return Decision(False, excess_s, limit, 0, used_s)
        self._full_at_s = now_s + after_s
        remaining = math.floor((MINUTE_S - after_s) / interval_s + ROUNDING_S)
        return Decision(True, 0.0, limit, max(0, remaining), after_s)


ROUNDING_S = 1e-6
"""What sums of 60/limit may be off by: never enough to let one more pass."""


def duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
