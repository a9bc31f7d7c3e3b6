"""What is told of a turn that ended: its line in the access log and its part of the numbers.

A turn leaves one `Ended` behind. The line is made when lines are written and the numbers are added
up when somebody asks, many at a time: code that runs a hundred times in a row costs a fifth of what
it costs once between other code (docs/decisions/0022).
"""

from datetime import UTC, datetime

import msgspec

from baton.errors import RequestError
from baton.ledger.entries import Timings
from baton.ledger.holds import Hold, Outcome
from baton.telemetry.log import AccessLine
from baton.telemetry.metrics import Metrics, Reason

CLIENT_GONE = 499
"""Status of a request whose caller left, as nginx writes it; nobody receives it."""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The facts, when nothing of the turn runs any more."""

    request_id: str
    key_id: str
    """"" where nobody was recognised."""
    model: str
    """"" where none was asked for that there is."""
    outcome: Outcome
    hold: Hold | None
    error: RequestError | None
    """What the caller was told, unless it had its answer."""
    status: int
    """What the caller got."""
    began_s: float
    """Since 1970."""
    total_s: float
    first_s: float = 0.0
    """Until the first text; 0: there was none."""
    gaps: int = 0
    """Between the parts of a stream."""
    gap_s: float = 0.0
    """Of these gaps, on average."""
    settling_s: float = -1.0
    """How long the settle took to be durable; below 0: nobody waited for it."""

    @property
    def charge(self) -> int:
        """What the ledger took, nano-USD."""
        ending = None if self.hold is None else self.hold.ending
        return 0 if ending is None else ending.charge

    @property
    def line(self) -> AccessLine:
        """Its line in the access log."""
        outcome, usage = self.outcome, self.outcome.usage
        return AccessLine(
            time=datetime.fromtimestamp(self.began_s + self.total_s, UTC),
            request_id=self.request_id,
            status=0 if self.status == CLIENT_GONE else self.status,
            total_ms=_ms(self.total_s),
            key=self.key_id,
            model=self.model,
            upstream=outcome.upstream,
            prompt_tokens=usage.prompt_tokens if usage is not None else 0,
            completion_tokens=usage.completion_tokens if usage is not None else 0,
            charge_nano=self.charge,
            queue_ms=_queued_ms(outcome.timings),
            first_byte_ms=_ms(self.first_s) if self.first_s else None,
            fills=outcome.fills,
            handoffs=outcome.handoffs,
            error=self.error.code if self.error is not None else None,
        )

    def count(self, metrics: Metrics) -> None:
        """Add it to the numbers."""
        outcome, hold, upstream = self.outcome, self.hold, self.outcome.upstream
        if hold is not None:
            metrics.hold_ended(outcome.state)
        if self.error is not None and not upstream:  # nobody had taken the call
            metrics.rejected(rejection(self.error))
        series = metrics.series(self.model if upstream else "", upstream)
        status = 0 if self.status == CLIENT_GONE else self.status
        series.answered(status, self.total_s)
        if self.settling_s >= 0:
            metrics.journal_wait.observe(self.settling_s)
        usage = outcome.usage
        if usage is None or hold is None:
            return
        if outcome.fills:
            metrics.filled(outcome.fills.split(","))
        cached = usage.cached_tokens or 0
        series.charged(usage.prompt_tokens, usage.completion_tokens, cached, self.charge)
        if self.first_s and hold.intent.stream:
            series.streamed(self.first_s, self.gap_s, self.gaps)


def _ms(seconds: float) -> float:
    """Milliseconds, to the microsecond. Rounding to an integer costs half of rounding to digits."""
    return round(seconds * 1_000_000) / 1000


def _queued_ms(timings: Timings) -> float | None:
    """From the hold on, which came before it."""
    if timings.queue_us is None:
        return None
    return (timings.queue_us - (timings.hold_us or 0)) / 1000


REJECTIONS: dict[str, Reason] = {
    "missing_api_key": "key",
    "invalid_api_key": "key",
    "forbidden": "forbidden",
    "model_not_found": "model",
    "rate_limit_exceeded": "rate",
    "insufficient_quota": "quota",
    "overloaded": "overloaded",
    "context_length_exceeded": "context",
    "request_too_large": "size",
}


def rejection(error: RequestError) -> Reason:
    """The bounded label under which a refusal is counted."""
    return REJECTIONS.get(error.code or "", "invalid" if error.status == 400 else "other")
