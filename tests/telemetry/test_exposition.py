"""The text that Prometheus reads: every name, its labels and its numbers."""

from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from baton.telemetry.condition import Condition
from baton.telemetry.exposition import CONTENT_TYPE, render
from baton.telemetry.metrics import Histogram, Metrics, Snapshot
from baton.telemetry.upstreams import UpstreamNumbers


@dataclass
class Engine:
    running: int = 2
    waiting: int = 3
    steps: int = 40
    prompt_tokens: int = 500
    generated_tokens: int = 600
    cached_tokens: int = 70
    sequences_max: int = 4
    context_tokens_max: int = 2048
    kept_tokens: int = 80
    prompts: int = 9
    reused_prompts: int = 5
    batch_tokens: int = 1100
    batch_sequences: int = 90
    drafted_tokens: int = 30
    accepted_tokens: int = 20
    step: Histogram = field(default_factory=lambda: times(0.02, 0.04))
    queue: Histogram = field(default_factory=lambda: times(0.3))


def times(*seconds: float) -> Histogram:
    histogram = Histogram()
    for each in seconds:
        histogram.observe(each)
    return histogram


def samples(snapshot: Snapshot, engine: Engine | None = None) -> dict[str, float]:
    """Sample name with its labels → value, as a scraper reads them."""
    text = render(snapshot, engine, "9.9").decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        "|".join(
            [sample.name, *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for sample in found
    }


def counted() -> Snapshot:
    metrics = Metrics()
    series = metrics.series('we"ird\nmodel', "embedded")
    series.answered(200, 0.2)
    series.answered(0, 0.3)
    series.charged(10, 20, 5, 7)
    series.streamed(0.004, 0.02, 3)
    metrics.upstreams = lambda: [
        UpstreamNumbers("embedded", {"ejected": 2}, 3, 4, 5, 6, 1, 2, 8, 7)
    ]
    metrics.rejected("quota")
    metrics.held()
    metrics.held()
    metrics.hold_ended("interrupted")
    metrics.filled(("echo", "n"))
    metrics.filled(("echo",))
    metrics.contents_ended("dropped", 2)
    metrics.refusal_ended("summed", 9)
    metrics.condition = lambda: Condition(journals_failing=1, unfolded_s=7)
    metrics.lines["error"], metrics.lost = 2, 3
    return metrics.snapshot()


def test_every_number_is_shown_under_its_name() -> None:
    """What was counted can be read back from the text by Prometheus' own parser."""
    shown = samples(counted(), Engine())
    pair = '|we"ird\nmodel|embedded'
    expected = {
        'baton_requests_total|we"ird\nmodel|2xx|embedded': 1,
        'baton_requests_total|we"ird\nmodel|gone|embedded': 1,
        f"baton_prompt_tokens_total{pair}": 10,
        f"baton_completion_tokens_total{pair}": 20,
        f"baton_cached_tokens_total{pair}": 5,
        f"baton_charge_nano_usd_total{pair}": 7,
        "baton_handoffs_total|embedded": 1,
        "baton_upstream_state|ejected|embedded": 2,
        "baton_upstream_in_flight|embedded": 3,
        "baton_upstream_ejections_total|embedded": 4,
        "baton_upstream_failed_calls_total|embedded": 5,
        "baton_upstream_lost_streams_total|embedded": 6,
        "baton_hedges_started_total|embedded": 8,
        "baton_hedges_won_total|embedded": 7,
        f"baton_time_to_first_token_seconds_count{pair}": 1,
        f"baton_inter_token_seconds_count{pair}": 3,
        f"baton_request_duration_seconds_count{pair}": 2,
        "baton_rejected_total|quota": 1,
        "baton_rejected_total|rate": 0,
        "baton_holds_total": 2,
        "baton_holds_ended_total|interrupted": 1,
        "baton_holds_ended_total|settled": 0,
        "baton_fills_total|echo": 2,
        "baton_fills_total|n": 1,
        "baton_contents_total|dropped": 2,
        "baton_contents_total|kept": 0,
        "baton_refusals_total|summed": 9,
        "baton_upstream_waiting|embedded": 2,
        "baton_holds_open": 1,
        "baton_requests_in_flight": 0,
        "baton_workers": 1,
        "baton_engine_up": 1,
        "baton_journal_wait_seconds_count": 0,
        "baton_engine_running": 2,
        "baton_engine_waiting": 3,
        "baton_engine_steps_total": 40,
        "baton_engine_prompt_tokens_total": 500,
        "baton_engine_generated_tokens_total": 600,
        "baton_engine_cached_tokens_total": 70,
        "baton_engine_sequences_max": 4,
        "baton_engine_context_tokens_max": 2048,
        "baton_engine_kept_tokens": 80,
        "baton_engine_prompts_total": 9,
        "baton_engine_reused_prompts_total": 5,
        "baton_engine_batch_tokens_total": 1100,
        "baton_engine_batch_sequences_total": 90,
        "baton_engine_drafted_tokens_total": 30,
        "baton_engine_accepted_tokens_total": 20,
        "baton_engine_step_seconds_count": 2,
        "baton_engine_step_seconds_bucket|0.025": 1,
        "baton_engine_queue_seconds_sum": 0.3,
        "baton_build_info|9.9": 1,
    }
    assert expected == {name: shown.get(name) for name in expected}


def test_how_processes_are_is_shown() -> None:
    """What an operator is to be woken for."""
    shown = samples(counted())
    expected = {
        "baton_journals_failing": 1,
        "baton_unfolded_seconds": 7,
        "baton_counting_apart": 0,
        "baton_workers_lost_total": 3,
        "baton_log_lines_total|warning": 0,
        "baton_log_lines_total|error": 2,
    }
    assert expected == {name: shown.get(name) for name in expected}


def test_buckets_are_cumulative() -> None:
    """Each bucket counts all shorter times too, and the last one everything."""
    shown = samples(counted())
    pair = '|we"ird\nmodel|embedded'
    names = [f"baton_request_duration_seconds_bucket|{le}{pair}" for le in ("0.1", "0.25", "+Inf")]
    assert [0, 1, 2] == [shown[name] for name in names]


def test_a_silent_engine_is_left_out() -> None:
    """Without an engine no engine numbers are made up."""
    assert not [name for name in samples(counted()) if "engine" in name]


def test_the_content_type_is_the_text_format_s() -> None:
    """Scrapers choose their parser by it."""
    assert "text/plain; version=0.0.4; charset=utf-8" == CONTENT_TYPE
