"""What the benchmarks make of their runs: ratios within one round, pages and charts that say so."""

import xml.etree.ElementTree as ElementTree
from typing import Any

from bench import engine_bench, relay_bench, report

FACTS = {
    "date": "2026-01-01", "processor": "CPU", "cores": 2, "memory_gib": 8, "system": "Linux",
    "python": "3.11", "packages": {"uvicorn": "1"}, "nginx": "nginx/1", "compiler": "cc 1",
    "commit": "abc", "load_before": 0.1, "threads": 1, "model": "m.gguf",
}  # fmt: skip


def _run(number: int, relay: str, scenario: str, cost: float, bad: int = 0) -> dict[str, Any]:
    times = {"p50": 10, "p99": 20}
    load = {"per_second": 5.0, "latency_us": times, "lag_us": times, "bad": bad, "good": 7}
    found = {"round": number, "relay": relay, "scenario": scenario, "cpu_us_each": cost}
    return {**found, "memory_mib": 9.0, "rate": 0.0, "answers": 7, "load": load}


def _relay_runs() -> list[dict[str, Any]]:
    costs = {(0, "nginx"): 10.0, (0, "baton"): 40.0, (1, "nginx"): 20.0, (1, "baton"): 40.0}
    return [
        _run(number, relay, scenario, cost)
        for scenario in report.TITLES
        for (number, relay), cost in costs.items()
    ]


def test_ratio_is_taken_within_a_round() -> None:
    """Rounds of 4× and 2× give 3×: not the quotient of the two medians."""
    found = relay_bench.summary(_relay_runs())
    assert found["closed"]["ratio"] == {"median": 3.0, "least": 2.0, "most": 4.0}
    assert found["closed"]["nginx"]["cpu_us_each"] == 15.0


def test_bad_answers_are_summed() -> None:
    """An answer that was not whole is told on the page."""
    runs = [*_relay_runs(), _run(1, "baton", "closed", 40.0, bad=3)]
    found = relay_bench.summary(runs)
    assert found["bad_answers"] == 3
    page = report.relay_markdown({"machine": FACTS, "summary": found})
    assert "Answers that were not whole: 3." in page


def test_relay_page_and_chart() -> None:
    """The page tells the ratio with its spread; the chart is well-formed and has every bar."""
    result = {"machine": FACTS, "summary": relay_bench.summary(_relay_runs())}
    assert "Baton ÷ nginx in one round: 3.00 (2.00 to 4.00)." in report.relay_markdown(result)
    drawing = ElementTree.fromstring(report.relay_chart(result))
    assert len(drawing.findall("{http://www.w3.org/2000/svg}rect")) == 6


def _with_peers() -> dict[str, Any]:
    """LiteLLM at 20 of 500 a second, Portkey that answers no stream."""
    runs = _relay_runs()
    for scenario in report.TITLES:
        runs.append(_run(0, "litellm", scenario, 4000.0))
        runs.append(_run(0, "portkey", scenario, 800.0))
    for run in runs:
        if run["scenario"] == "fixed":
            run["rate"] = 500.0 if run["relay"] == "litellm" else 5.0
    refused = {"bad": 64, "good": 0, "first_bad": "not 200: HTTP/1.1 500"}
    runs[-1] |= {"answers": 0, "load": {**runs[-1]["load"], **refused}}
    return {
        "machine": FACTS | {"peers": {"litellm": "LiteLLM 1"}},
        "unavailable": {"haproxy": "not installed"},
        "summary": relay_bench.summary(runs),
    }


def test_peers_on_the_page() -> None:
    """Ratios, a rate that was not met, a relay that does not answer, one that was not there."""
    page = report.relay_markdown(_with_peers())
    assert "; LiteLLM ÷ Baton: 100.00 (100.00 to 100.00); Portkey ÷ Baton: 20.00" in page
    assert "| litellm | 4000.0 | 5, not 500 | " in page
    assert "| portkey | does not answer: not 200: HTTP/1.1 500 | " in page
    assert "Portkey ÷ Baton: none." in page
    assert "- portkey, stream: 64 of 64, the first: not 200: HTTP/1.1 500\n" in page
    assert "- HAProxy was not measured: not installed\n" in page
    assert "nginx/1, LiteLLM 1, cc 1" in page


def test_a_bar_far_beyond_the_others_is_cut() -> None:
    """They keep their length; the cut shows that the bar goes on, and the value stands there."""
    drawing = ElementTree.fromstring(report.relay_chart(_with_peers()))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.get("width", "0")) for bar in drawing.findall(f"{space}rect")][:4]
    assert bars == [126.0, 336.0, 420.0, 420.0]
    assert len(drawing.findall(f"{space}path")) == 5
    assert "4000.0 µs" in [text.text for text in drawing.findall(f"{space}text")]


def test_engine_page_and_chart() -> None:
    """The rate beside xllamacpp's server, for each level, with the ratio of each round."""
    runs: list[dict[str, Any]] = [
        {"round": 0, "level": 8, "server": name, "tokens_per_second": rate, "first_p50_s": first}
        | {"cpu_ms_per_token": 12.0}
        for name, rate, first in (("baton", 97.0, 1.0), ("xllamacpp server", 100.0, 2.0))
    ]
    promise = {"what": "n = 8", "bound": "≤ 1.25", "median": 1.1, "least": 1.0, "most": 1.2}
    result = {
        "machine": FACTS, "summary": engine_bench.summary(runs), "promises": {"choices": promise},
    }  # fmt: skip
    page = report.engine_markdown(result)
    row = "| 8 | 97.0, 1.00 s, 12.0 ms | 100.0, 2.00 s, 12.0 ms | 0.97 (0.97 to 0.97) | 0.50 "
    assert row in page
    assert "| n = 8 | ≤ 1.25 | 1.10 (1.00 to 1.20) |" in page
    drawing = ElementTree.fromstring(report.engine_chart(result))
    assert len(drawing.findall("{http://www.w3.org/2000/svg}rect")) == 2
