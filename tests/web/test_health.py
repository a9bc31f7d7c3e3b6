"""Metrics; probes are answered in front (test_front.py)."""

from tests.fakes.web_parts import Web


def test_metrics_are_prometheus_text(site: Web) -> None:
    """What was counted and what the engine says; never a key's id."""
    site.parts.metrics.series("tiny-bytes", "embedded").answered(200, 0.1)
    answer = site.user.get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.content_type
    line = 'baton_requests_total{model="tiny-bytes",status="2xx",upstream="embedded"} 1.0'
    assert line in answer.text
    assert "baton_engine_waiting 2.0" in answer.text
    assert site.parts.user.id not in answer.text


def test_metrics_outlive_the_engine(site: Web) -> None:
    """While the engine restarts there is a scrape without its numbers."""
    site.parts.engine.down = True
    answer = site.user.get("/metrics")
    site.parts.engine.down = False
    assert 200 == answer.status
    assert "baton_engine_waiting" not in answer.text
    assert "baton_engine_up 0.0" in answer.text
    assert "baton_engine_up 1.0" in site.user.get("/metrics").text
