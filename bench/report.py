"""Results as Markdown tables and a chart, from the JSON of the runs."""

from collections.abc import Mapping
from typing import Any

from bench import peers
from bench.plot import Bar, Group, bar_chart

TITLES = {
    "closed": "32 connections, saturated: processor time of a request",
    "fixed": "500 requests a second: processor time of a request",
    "stream": "64 streams of 100 chunks, one every 20 ms: processor time of a chunk",
}
RATE_MET = 0.98
"""Of a fixed rate: less is told as a rate that was not met."""
RATIO_KEYS = ("ratio", "ratios")
PLAIN = ("direct", "nginx", "haproxy", "baton")
"""The bars that the chart's scale is for; a longer one is cut."""


def machine_lines(facts: Mapping[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return [
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, "
        f"{facts['memory_gib']} GiB, {facts['system']}, Python {facts['python']}, "
        f"{', '.join([facts['nginx'], *facts.get('peers', {}).values()])}, {facts['compiler']}, "
        f"commit {facts['commit']}.",
        f"Packages: {packages}. Load before: {facts['load_before']:.2f}.",
        "",
    ]


def relay_markdown(result: Mapping[str, Any]) -> str:
    """The relay's tables: one for each scenario, ratios within one round with their spread."""
    lines = ["## Relay", "", *machine_lines(result["machine"])]
    head = (
        "| | µs each | per second | latency p50 / p99 µs | chunk lag p50 / p99 µs | MiB |",
        "|---|---|---|---|---|---|",
    )
    for name, title in TITLES.items():
        scenario = result["summary"][name]
        lines += [f"### {title}", "", *head]
        lines += [_relay_row(relay, row) for relay, row in _rows(scenario)]
        lines += ["", f"{_ratio_line(scenario)}.", ""]
    lines += [f"Answers that were not whole: {result['summary']['bad_answers']}.", ""]
    lines += [
        f"- {one['relay']}, {one['scenario']}: {one['bad']} of {one['all']}, the first: "
        f"{one['first']}"
        for one in result["summary"]["bad"]
    ]
    lines += [
        f"- {peers.TITLES[name]} was not measured: {reason}"
        for name, reason in result.get("unavailable", {}).items()
    ]
    return "\n".join(lines).rstrip() + "\n"


def _rows(scenario: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(relay, row) for relay, row in scenario.items() if relay not in RATIO_KEYS]


def _ratio_line(scenario: Mapping[str, Any]) -> str:
    """Every ratio of a scenario that there is, each with its spread."""
    told = [f"Baton ÷ nginx in one round: {spread_words(scenario['ratio'])}"]
    for name, found in scenario.get("ratios", {}).items():
        title = peers.TITLES[name]
        words = f"Baton ÷ {title}" if name == "haproxy" else f"{title} ÷ Baton"
        told.append(f"{words}: {spread_words(found)}")
    return "; ".join(told)


def _relay_row(relay: str, row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return f"| {relay} | does not answer: {row['failed']} | – | – | – | – |"
    rate = f"{row['per_second']:,.0f}"
    if row["per_second"] < RATE_MET * row["rate"]:
        rate += f", not {row['rate']:.0f}"
    latency = f"{row['latency_p50_us']:.0f} / {row['latency_p99_us']:.0f}"
    lag = f"{row['lag_p50_us']:.0f} / {row['lag_p99_us']:.0f}" if row["lag_p50_us"] >= 0 else "–"
    return (
        f"| {relay} | {row['cpu_us_each']:.1f} | {rate} | {latency} "
        f"| {lag} | {row['memory_mib']:.0f} |"
    )


def engine_markdown(result: Mapping[str, Any]) -> str:
    """The engine's table: both servers at each level, ratios within one round."""
    facts = result["machine"]
    lines = ["## Engine", "", *machine_lines(facts)]
    lines += [
        f"{facts['model']}, threads {facts['threads']}; a stream: 184 prompt tokens, 96 new ones.",
        "",
        "tok/s: from the first request to the last answer. First: until the median first text.",
        "CPU: processor time of all of the server's processes per new token.",
        "",
        "| streams | Baton: tok/s, first, CPU | xllamacpp's server | tok/s ratio | first ratio | "
        "CPU ratio |",
        "|---|---|---|---|---|---|",
    ]
    for level, rows in result["summary"].items():
        cells = [_engine_cell(rows[name]) for name in ("baton", "xllamacpp server")]
        cells += [spread_words(rows[name]) for name in ("ratio", "first_ratio", "cpu_ratio")]
        lines.append(f"| {level} | {' | '.join(cells)} |")
    return "\n".join([*lines, *_promise_lines(result.get("promises", {})), ""])


def _promise_lines(promises: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What the engine promises of itself, within one run."""
    if not promises:
        return []
    lines = ["", "| Baton alone | bound | found (least to most) |", "|---|---|---|"]
    return lines + [
        f"| {one['what']} | {one['bound']} | {spread_words(one)} |" for one in promises.values()
    ]


def _engine_cell(row: Mapping[str, float]) -> str:
    rate, first_s, cpu_ms = (
        row[key] for key in ("tokens_per_second", "first_p50_s", "cpu_ms_per_token")
    )
    return f"{rate:.1f}, {first_s:.2f} s, {cpu_ms:.1f} ms"


def spread_words(ratio: Mapping[str, float] | None) -> str:
    """A ratio's median, least and most."""
    if ratio is None:
        return "none"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"


def relay_chart(result: Mapping[str, Any]) -> str:
    groups = [
        Group(
            title,
            [
                Bar(relay, row["cpu_us_each"], f"{row['cpu_us_each']:.1f} µs")
                for relay, row in _rows(result["summary"][name])
                if "failed" not in row
            ],
            PLAIN,
        )
        for name, title in TITLES.items()
    ]
    return bar_chart("What a relayed request and chunk cost", groups)


def engine_chart(result: Mapping[str, Any]) -> str:
    groups = [
        Group(
            f"{level} streams",
            [
                Bar(name, row["tokens_per_second"], f"{row['tokens_per_second']:.1f} tok/s")
                for name, row in rows.items()
                if not name.endswith("ratio")
            ],
        )
        for level, rows in result["summary"].items()
    ]
    return bar_chart("Tokens per second, prompts included", groups)
