"""How many more calls than requests Baton may make: retries help one request and harm an outage.

A token bucket: each request adds a tenth of a token (a twentieth for hedges), each further attempt
takes one. A few tokens come back with time, so that a relay with little to do can retry at all.
Pure: time is an argument. The good path only counts (`requests += 1`); the sum is made on demand.
"""

RETRIES_PER_REQUEST = 0.1
RETRIES_MIN = 3.0
"""Tokens that a quiet relay has: they come back, one a second."""
RETRIES_MAX = 100.0
"""Saved tokens are a burst when things break."""
HEDGES_PER_REQUEST = 0.05
HEDGES_MIN = 1.0
HEDGES_MAX = 50.0


class Budget:
    """Further attempts that may be made now."""

    __slots__ = ("_at_s", "_max", "_min", "_ratio", "_seen", "_tokens", "refused", "requests")

    def __init__(
        self,
        ratio: float = RETRIES_PER_REQUEST,
        tokens_min: float = RETRIES_MIN,
        tokens_max: float = RETRIES_MAX,
    ) -> None:
        self._ratio, self._min, self._max = ratio, tokens_min, tokens_max
        self._tokens = tokens_min
        self._seen = 0
        self._at_s: float | None = None
        self.requests = 0
        """To be counted up by one for each request."""
        self.refused = 0
        """Attempts that were not made for want of tokens."""

    def __repr__(self) -> str:
        return f"<Budget tokens={self._tokens:.1f} requests={self.requests}>"

    def take(self, now_s: float) -> bool:
        """Whether one further attempt may be made; it is counted."""
        self._earn(now_s)
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        return True

    def give_back(self) -> None:
        """What was taken last, for an attempt that something else did not allow."""
        self._tokens = min(self._tokens + 1.0, self._max)

    def _earn(self, now_s: float) -> None:
        earned = (self.requests - self._seen) * self._ratio
        self._seen = self.requests
        self._tokens = min(self._tokens + earned, self._max)
        waited_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        if self._tokens < self._min:
            self._tokens = min(self._min, self._tokens + waited_s)
