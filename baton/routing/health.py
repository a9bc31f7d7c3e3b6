"""Whether an upstream can be trusted with a request now, judged by what became of earlier ones.

Theory of operation. One `Health` an upstream and process; nobody probes, requests tell. Time comes
in as an argument (seconds of one monotonic clock), so that a day can be tested in a millisecond.

    healthy ──failure──▶ suspect: passed over for 0.1 … 0.8 s, doubling with each failure in a row
    doubtful (2 in a row and its time is over): one request at a time until one is accepted
    suspect ──5th in a row──▶ ejected for 30 s × n, at most 300 s; n counts ejections in a row
    ejected ──its time is over──▶ half-open: one request every PROBE_S finds out
    half-open ──failure──▶ ejected, n + 1        any of them ──accepted──▶ warming
    warming ──30 s──▶ healthy; its share grows from a tenth: a cold cache is slow
    warming ──failure──▶ ejected, n + 1

What it never does is refuse: where everybody is ejected, `order.py` asks them all the same.
Two rows are counted. Refusals end when a call is accepted, breaks when an answer comes whole: an
upstream that accepts and then always breaks off is found out, and so is one that takes nothing new
while old answers still end well. An upstream that names a time to come back (`pause`) is left alone
until then; it said so itself and is not at fault. Requests that are on their way together when it
begins to fail all fail; from the second failure on no more than one is risked at a time, so that
five in a row are not much more than five in all. While `troubled` is False nobody need tell of
successes: that is all that a good request pays.
"""

from typing import Literal

State = Literal["healthy", "suspect", "ejected", "half-open", "warming", "paused"]
Standing = Literal["healthy", "ejected", "half-open", "warming"]
"""States that last: suspect and paused may come and go many times a second."""

FAILURES_MAX = 5
"""In a row; then it is ejected (Envoy's default)."""
DOUBTFUL_FAILURES = 2
"""In a row; then one request at a time finds out."""
SUSPECT_S = 0.05
"""Times 2 to the power of the failures in a row."""
EJECTION_S = 30.0
EJECTION_S_MAX = 300.0
PROBE_S = 10.0
"""A request that is to find out says nothing for so long: another one may try."""
WARMING_S = 30.0
WARMING_SHARE_MIN = 0.1
PAUSE_S_MAX = 30.0
"""What an upstream's Retry-After is believed."""
PAUSE_S = 1.0
"""After a refusal for too many requests that names no time."""


class Health:
    """The state machine of one upstream. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_ejected",
        "_ejected_until_s",
        "_in_a_row",
        "_probe_until_s",
        "_warming_since_s",
        "breaks",
        "ejections",
        "paused_until_s",
        "refusals",
        "troubled",
        "until_s",
    )

    def __init__(self) -> None:
        self.troubled = False
        """Anything but healthy."""
        self.refusals = self.breaks = 0
        """In a row: calls that could not be placed, answers that broke off."""
        self.ejections = 0
        """Since the start."""
        self.until_s = 0.0
        """Passed over until then, as suspect or ejected."""
        self.paused_until_s = 0.0
        self._ejected = False
        self._ejected_until_s = 0.0
        self._in_a_row = 0
        self._probe_until_s = 0.0
        self._warming_since_s: float | None = None

    def __repr__(self) -> str:
        row = f"refusals={self.refusals} breaks={self.breaks} ejections={self.ejections}"
        return f"<Health {row} until={self.until_s:g}>"

    # what happened

    def failed(self, now_s: float, *, placed: bool) -> None:
        """A call could not be placed or, where it was `placed`, its answer broke off."""
        self.troubled = True
        if placed:
            self.breaks += 1
        else:
            self.refusals += 1
        if self._ejected and now_s < self.until_s:
            return  # sent before it was ejected, or because everybody is
        row = max(self.refusals, self.breaks)
        if row < FAILURES_MAX and not self._ejected and not self._warming(now_s):
            self.until_s, self._probe_until_s = now_s + SUSPECT_S * 2**row, 0.0
        else:
            self._eject(now_s)

    def pause(self, now_s: float, retry_after_s: float | None) -> None:
        """It has too much: left alone for the time it names, else passed over for a moment."""
        self.troubled = True
        if retry_after_s is None:
            self.until_s = max(self.until_s, now_s + PAUSE_S)
        else:
            pause_s = min(retry_after_s, PAUSE_S_MAX)
            self.paused_until_s = max(self.paused_until_s, now_s + pause_s)

    def asked(self, now_s: float) -> None:
        """A request goes there: a half-open or doubtful upstream gets no second one until that has
        told."""
        if self._half_open(now_s) or self._doubtful:
            self._probe_until_s = now_s + PROBE_S

    def accepted(self, now_s: float) -> None:
        """It took a call. One that was ejected is back, slowly, and the next failure counts."""
        self.refusals, self._probe_until_s = 0, 0.0
        if self._ejected:
            self._ejected = False
            self.breaks = 0
            self._warming_since_s = self.until_s = now_s
        elif not self.breaks:
            self.until_s = min(self.until_s, now_s)
        self._settle(now_s)

    def whole(self, now_s: float) -> None:
        """An answer came to its end."""
        self.breaks = 0
        if not self.refusals and not self._ejected:
            self.until_s = min(self.until_s, now_s)
        self._settle(now_s)

    # what follows

    def state(self, now_s: float) -> State:
        if self.paused(now_s):
            return "paused"
        if not self._ejected and not self.available(now_s):
            return "suspect"
        return self.standing(now_s)

    def standing(self, now_s: float) -> Standing:
        """The state, but for what passes in a moment."""
        if self._ejected:
            return "half-open" if now_s >= self.until_s else "ejected"
        return "warming" if self._warming(now_s) else "healthy"

    def paused(self, now_s: float) -> bool:
        return now_s < self.paused_until_s

    def ejected(self, now_s: float) -> bool:
        """Not to be asked, but where nobody else is left."""
        return self._ejected and not self.available(now_s)

    def available(self, now_s: float) -> bool:
        """To be asked like any other."""
        if now_s < self.until_s or now_s < self.paused_until_s:
            return False
        return now_s >= self._probe_until_s or not (self._ejected or self._doubtful)

    def share(self, now_s: float) -> float:
        """Of its usual weight: below 1 while it warms up."""
        since_s = self._warming_since_s
        if since_s is None or not self._warming(now_s):
            return 1.0
        return max(WARMING_SHARE_MIN, (now_s - since_s) / WARMING_S)

    def _eject(self, now_s: float) -> None:
        if now_s - self._ejected_until_s > EJECTION_S_MAX:
            self._in_a_row = 0  # it was well for long
        self._in_a_row += 1
        self.ejections += 1
        self.until_s = now_s + min(EJECTION_S * self._in_a_row, EJECTION_S_MAX)
        self._ejected_until_s = self.until_s
        self._ejected = True
        self._probe_until_s = 0.0
        self._warming_since_s = None

    @property
    def _doubtful(self) -> bool:
        return not self._ejected and max(self.refusals, self.breaks) >= DOUBTFUL_FAILURES

    def _half_open(self, now_s: float) -> bool:
        return self._ejected and now_s >= self.until_s

    def _warming(self, now_s: float) -> bool:
        since_s = self._warming_since_s
        return since_s is not None and now_s - since_s < WARMING_S

    def _settle(self, now_s: float) -> None:
        """Healthy, once nothing is left to be watched."""
        row = self.refusals or self.breaks or self._ejected
        self.troubled = bool(row) or self._warming(now_s) or self.paused(now_s)
