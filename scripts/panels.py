"""What the dashboard for Grafana shows: its rows, and in each the panels with their queries.

`dashboard.py` makes the file of them.
"""

from typing import NamedTuple

PAIR = '{job=~"$job",model=~"$model",upstream=~"$upstream"}'
UPSTREAM = '{job=~"$job",upstream=~"$upstream"}'
JOB = '{job=~"$job"}'


class Panel(NamedTuple):
    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    """Expression and legend of each line."""
    width: int = 8
    kind: str = "timeseries"
    about: str = ""


def rate(metric: str, by: str = "", where: str = PAIR) -> str:
    """How much a counter grows in a second."""
    sums = f"sum by ({by})" if by else "sum"
    return f"{sums} (rate({metric}{where}[$__rate_interval]))"


def share(part: str, whole: str, where: str = PAIR) -> str:
    """0 to 1; no line where there is nothing to divide."""
    return f"{rate(part, where=where)} / {rate(whole, where=where)}"


def percentiles(metric: str, by: str = "", where: str = PAIR) -> tuple[tuple[str, str], ...]:
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    buckets = rate(f"{metric}_bucket", labels, where)
    return tuple(
        (f"histogram_quantile({quantile}, {buckets})", f"p{quantile[2:].ljust(2, '0')}{legend}")
        for quantile in ("0.5", "0.95", "0.99")
    )


def one(expression: str, legend: str = "") -> tuple[tuple[str, str], ...]:
    return ((expression, legend),)


FAILED = '{job=~"$job",model=~"$model",upstream=~"$upstream",status="5xx"}'
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            Panel("Requests", "reqps", one(rate("baton_requests_total")), 4, "stat"),
            Panel(
                "Failed",
                "percentunit",
                one(
                    f"({rate('baton_requests_total', where=FAILED)} or vector(0))"
                    f" / {rate('baton_requests_total')}"
                ),
                4,
                "stat",
                "Answers with a status of 500 or above, of all.",
            ),
            Panel("Tokens", "short", one(rate("baton_completion_tokens_total")), 4, "stat"),
            Panel(
                "Charged in an hour",
                "currencyUSD",
                one(f"{rate('baton_charge_nano_usd_total')} * 3600 / 1e9"),
                4,
                "stat",
            ),
            Panel("Under way", "short", one(f"sum (baton_requests_in_flight{JOB})"), 4, "stat"),
            Panel("Workers", "short", one(f"sum (baton_workers{JOB})"), 4, "stat"),
        ),
    ),
    (
        "As it should be",
        (
            Panel(
                "Logged",
                "short",
                one(f"sum by (level) (increase(baton_log_lines_total{JOB}[5m]))", "{{level}}"),
                about="Lines of the workers' log in five minutes: what they say stands there.",
            ),
            Panel(
                "Out of order",
                "short",
                (
                    (f"sum (baton_journals_failing{JOB})", "journals that take nothing"),
                    (f"sum (baton_counting_apart{JOB})", "workers that count rates alone"),
                    (f"sum (increase(baton_workers_lost_total{JOB}[5m]))", "workers lost"),
                    (f"count (baton_engine_up{JOB} == 0) or vector(0)", "engines away"),
                ),
            ),
            Panel(
                "Waits for the book",
                "s",
                one(f"max by (instance) (baton_unfolded_seconds{JOB})", "{{instance}}"),
                about="For how long ended requests could not be written to the book.",
            ),
        ),
    ),
    (
        "Requests",
        (
            Panel(
                "By status",
                "reqps",
                one(rate("baton_requests_total", "status"), "{{status}}"),
                about="gone: the caller left before it had a status.",
            ),
            Panel("By model", "reqps", one(rate("baton_requests_total", "model"), "{{model}}")),
            Panel(
                "Refused before any upstream was asked",
                "reqps",
                one(rate("baton_rejected_total", "reason", JOB), "{{reason}}"),
            ),
            Panel(
                "Log of refused requests",
                "reqps",
                one(rate("baton_refusals_total", "end", JOB), "{{end}}"),
                about="kept: with a row of their own; summed: counted in one; dropped: too many.",
            ),
            Panel("Duration", "s", percentiles("baton_request_duration_seconds")),
            Panel("To the first token", "s", percentiles("baton_time_to_first_token_seconds")),
            Panel("Between tokens", "s", percentiles("baton_inter_token_seconds")),
        ),
    ),
    (
        "Tokens and money",
        (
            Panel(
                "Tokens in a second",
                "short",
                (
                    (rate("baton_prompt_tokens_total"), "prompt"),
                    (rate("baton_completion_tokens_total"), "completion"),
                    (rate("baton_cached_tokens_total"), "prompt, from a cache"),
                ),
            ),
            Panel(
                "Charged in an hour, by model",
                "currencyUSD",
                one(f"{rate('baton_charge_nano_usd_total', 'model')} * 3600 / 1e9", "{{model}}"),
            ),
            Panel(
                "Fields that Baton made",
                "ops",
                one(rate("baton_fills_total", "field", JOB), "{{field}}"),
            ),
        ),
    ),
    (
        "Ledger",
        (
            Panel("Holds open", "short", one(f"sum (baton_holds_open{JOB})", "open")),
            Panel(
                "Holds",
                "ops",
                (
                    (rate("baton_holds_total", where=JOB), "reserved"),
                    (rate("baton_holds_ended_total", "end", JOB), "{{end}}"),
                ),
                about="interrupted: charged up to where a stream was lost.",
            ),
            Panel(
                "Waits for the journal",
                "s",
                percentiles("baton_journal_wait_seconds", where=JOB),
                about="What the last byte of an answer waits for the disk or the database.",
            ),
            Panel(
                "Contents to be kept",
                "ops",
                one(rate("baton_contents_total", "end", JOB), "{{end}}"),
                about="Of keys that opted in. dropped: too many waited, or the book was away.",
            ),
        ),
    ),
    (
        "Upstreams",
        (
            Panel(
                "States other than healthy",
                "short",
                one(
                    "sum by (upstream, state) (baton_upstream_state"
                    '{job=~"$job",upstream=~"$upstream",state!="healthy"})',
                    "{{upstream}} {{state}}",
                ),
                about="How many workers see it so; ejected: the breaker is open.",
            ),
            Panel(
                "Calls under way",
                "short",
                one(f"sum by (upstream) (baton_upstream_in_flight{UPSTREAM})", "{{upstream}}"),
            ),
            Panel(
                "Calls that wait for a place",
                "short",
                one(f"sum by (upstream) (baton_upstream_waiting{UPSTREAM})", "{{upstream}}"),
            ),
            Panel(
                "Failures",
                "ops",
                (
                    (
                        rate("baton_upstream_failed_calls_total", "upstream", UPSTREAM),
                        "{{upstream}} not placed",
                    ),
                    (
                        rate("baton_upstream_lost_streams_total", "upstream", UPSTREAM),
                        "{{upstream}} broken off",
                    ),
                    (
                        rate("baton_upstream_ejections_total", "upstream", UPSTREAM),
                        "{{upstream}} ejected",
                    ),
                ),
            ),
            Panel(
                "Hand-offs",
                "ops",
                one(rate("baton_handoffs_total", "upstream", UPSTREAM), "from {{upstream}}"),
                about="Answers that went on at another upstream.",
            ),
            Panel(
                "Hedged requests",
                "ops",
                (
                    (
                        rate("baton_hedges_started_total", "upstream", UPSTREAM),
                        "{{upstream}} too slow",
                    ),
                    (
                        rate("baton_hedges_won_total", "upstream", UPSTREAM),
                        "{{upstream}} overtaken",
                    ),
                ),
                about="Where it did not begin in time another one was asked as well: how often, and"
                " how often that one answered. It costs, where an operator wants it.",
            ),
            Panel(
                "To the first token, by upstream",
                "s",
                percentiles("baton_time_to_first_token_seconds", "upstream")[1:2],
            ),
        ),
    ),
    (
        "Engine",
        (
            Panel(
                "Choices",
                "short",
                (
                    (f"sum (baton_engine_running{JOB})", "computed"),
                    (f"sum (baton_engine_waiting{JOB})", "waiting"),
                    (f"sum (baton_engine_sequences_max{JOB})", "places"),
                ),
            ),
            Panel(
                "Tokens in a second",
                "short",
                (
                    (rate("baton_engine_generated_tokens_total", where=JOB), "generated"),
                    (rate("baton_engine_prompt_tokens_total", where=JOB), "prompt"),
                ),
            ),
            Panel(
                "In one batch",
                "short",
                (
                    (
                        share("baton_engine_batch_tokens_total", "baton_engine_steps_total", JOB),
                        "tokens",
                    ),
                    (
                        share(
                            "baton_engine_batch_sequences_total", "baton_engine_steps_total", JOB
                        ),
                        "sequences",
                    ),
                ),
            ),
            Panel("Time of a batch", "s", percentiles("baton_engine_step_seconds", where=JOB)),
            Panel(
                "Wait for the first batch",
                "s",
                percentiles("baton_engine_queue_seconds", where=JOB),
            ),
            Panel(
                "Cache",
                "percentunit",
                (
                    (
                        share(
                            "baton_engine_cached_tokens_total",
                            "baton_engine_prompt_tokens_total",
                            JOB,
                        ),
                        "prompt tokens found",
                    ),
                    (
                        share(
                            "baton_engine_reused_prompts_total", "baton_engine_prompts_total", JOB
                        ),
                        "prompts found in part",
                    ),
                    (
                        f"sum (baton_engine_kept_tokens{JOB}) / sum"
                        f" (baton_engine_sequences_max{JOB}"
                        f" * baton_engine_context_tokens_max{JOB})",
                        "memory filled",
                    ),
                ),
            ),
            Panel(
                "Drafts",
                "percentunit",
                (
                    (
                        share(
                            "baton_engine_accepted_tokens_total",
                            "baton_engine_drafted_tokens_total",
                            JOB,
                        ),
                        "came true",
                    ),
                ),
            ),
        ),
    ),
)
