"""What operators see of an upstream's life."""

import pytest

from baton.telemetry.metrics import Metrics
from baton.telemetry.upstreams import UpstreamNumbers
from baton.web.upstream_live import live


def test_all_models_together() -> None:
    """Times of every model that it has answered, and of no other upstream."""
    metrics = Metrics()
    metrics.upstreams = lambda: [UpstreamNumbers("gpu", {"warming": 1}, 4, 3, 2, 1, 5)]
    for model, upstream in (("a", "gpu"), ("b", "gpu"), ("a", "other")):
        metrics.series(model, upstream).streamed(0.02 if upstream == "gpu" else 60.0, 0.004, 9)
    found = live("gpu", metrics.snapshot())
    assert ("warming", {"warming": 1}) == (found.state, found.workers)
    assert (4, 3, 2, 1, 5) == (
        found.in_flight,
        found.ejections,
        found.failed_calls,
        found.lost_streams,
        found.handoffs,
    )
    assert 10 <= (found.first_token_p50_ms or 0) <= (found.first_token_p95_ms or 0) <= 25
    assert 2.5 <= (found.inter_token_p50_ms or 0) <= (found.inter_token_p95_ms or 0) <= 5


def test_nothing_is_known() -> None:
    """A new upstream has no times, and no trouble."""
    found = live("new", Metrics().snapshot())
    assert ("healthy", {}, 0) == (found.state, found.workers, found.in_flight)
    assert found.first_token_p50_ms is None
    assert found.inter_token_p95_ms is None


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.0375), (0.5, 0.05), (1.0, 300.0)])
def test_quantiles(share: float, seconds: float) -> None:
    """Even within a bucket; what is beyond all bounds counts as the last bound."""
    series = Metrics().series("m", "u")
    series.first_token.observe(0.03, 2)
    series.first_token.observe(1000.0, 2)
    assert seconds == pytest.approx(series.first_token.quantile(share))
