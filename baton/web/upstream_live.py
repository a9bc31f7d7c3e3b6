"""How an upstream fares at this moment, over all workers: what operators see beside its record."""

import msgspec

from baton.telemetry.metrics import Histogram, Snapshot


class UpstreamLive(msgspec.Struct, frozen=True, kw_only=True):
    """Its health and numbers, of all workers that run now; counts since they were first started."""

    state: str
    """healthy, warming, suspect, paused, half-open or ejected; the worst of what workers say."""
    workers: dict[str, int]
    """Workers by the state that it is in for them."""
    in_flight: int
    ejections: int
    failed_calls: int
    lost_streams: int
    handoffs: int
    first_token_p50_ms: float | None
    """As callers saw it; None before anything was streamed."""
    first_token_p95_ms: float | None
    inter_token_p50_ms: float | None
    inter_token_p95_ms: float | None


def live(name: str, numbers: Snapshot) -> UpstreamLive:
    """What the merged numbers of all workers say of one upstream."""
    found = numbers.upstream(name)
    first, between = numbers.times(name)
    return UpstreamLive(
        state=found.state,
        workers=found.states,
        in_flight=found.in_flight,
        ejections=found.ejections,
        failed_calls=found.failed_calls,
        lost_streams=found.lost_streams,
        handoffs=found.handoffs,
        first_token_p50_ms=_ms(first, 0.5),
        first_token_p95_ms=_ms(first, 0.95),
        inter_token_p50_ms=_ms(between, 0.5),
        inter_token_p95_ms=_ms(between, 0.95),
    )


def _ms(times: Histogram, share: float) -> float | None:
    seconds = times.quantile(share)
    return None if seconds is None else round(seconds * 1000, 3)
