"""The dashboard for Grafana: every name, label and value in it is one that /metrics exposes."""

import json
import re
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from baton.telemetry.diary import COUNTED
from baton.telemetry.exposition import render
from baton.telemetry.metrics import ENDS, REASONS, Metrics
from baton.telemetry.upstreams import WORST_FIRST, UpstreamNumbers
from scripts.dashboard import FILE, dashboard, main
from tests.fakes.web_parts import DESCRIPTION
from tests.system.promql import NotUnderstood, Selector, parse

ADDED = {"job", "instance"}
"""Labels that Prometheus itself puts on what it scrapes."""
VALUES: dict[str, set[str]] = {
    "state": {*WORST_FIRST},
    "end": {*ENDS},
    "reason": {*REASONS},
    "status": {"gone", "1xx", "2xx", "3xx", "4xx", "5xx"},
    "level": {*COUNTED},
}
UNSHOWN = {"baton_build_info": "the version; nothing to draw"}
"""Metrics that the dashboard leaves out, and why."""


def families() -> list[Metric]:
    """What /metrics exposes where everything happens."""
    metrics = Metrics()
    metrics.series("tiny", "gpu").answered(200, 0.1)
    metrics.filled(("echo",))
    metrics.upstreams = lambda: [UpstreamNumbers("gpu", {"healthy": 1})]
    text = render(metrics.snapshot(), DESCRIPTION, "1").decode()
    return list(text_string_to_metric_families(text))


def exposed() -> dict[str, set[str]]:
    """The labels of each sample."""
    found: dict[str, set[str]] = {}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> list[dict[str, Any]]:
    board = json.loads(FILE.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def selectors() -> list[Selector]:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert len(expressions) > 40
    return [selector for expression in expressions for selector in parse(expression)]


def test_every_name_is_exposed() -> None:
    """Each metric in each expression, with each label that it is asked by."""
    known = exposed()
    unknown = [each.metric for each in selectors() if each.metric not in known]
    assert [] == unknown
    unlabelled = [
        (each.metric, label)
        for each in selectors()
        for label in each.labels
        if label not in known[each.metric] | ADDED
    ]
    assert [] == unlabelled


def test_every_value_exists() -> None:
    """A label that is compared with a word is compared with one that it can have."""
    odd = [
        matcher
        for each in selectors()
        for matcher in each.matchers
        if matcher[2] not in VALUES.get(matcher[0], set()) and not matcher[2].startswith("$")
    ]
    assert [] == odd


def test_nothing_exposed_is_forgotten() -> None:
    """Each metric is drawn somewhere, or listed with the reason why not."""
    drawn = {each.metric for each in selectors()}
    forgotten = [
        family.name
        for family in families()
        if not {sample.name for sample in family.samples} & (drawn | set(UNSHOWN))
    ]
    assert [] == forgotten


def test_counters_are_only_seen_as_rates() -> None:
    """A counter's own value means nothing: it begins anew with a process."""
    kinds = {sample.name: family.type for family in families() for sample in family.samples}
    wrong = [
        each.metric
        for each in selectors()
        if each.ranged != (kinds[each.metric] in ("counter", "histogram"))
    ]
    assert [] == wrong


def test_legends_name_labels_that_are_left() -> None:
    """A label in a legend is one by which its expression sums."""
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            kept = set.intersection(*(each.grouped for each in parse(target["expr"])))
            assert named <= kept, (panel["title"], target["legendFormat"])


def test_variables_are_defined_and_their_labels_exposed() -> None:
    """`$model` in an expression is something that a reader can choose."""
    board = json.loads(FILE.read_text(encoding="utf-8"))
    known, defined = exposed(), {"__rate_interval", "datasource"}
    for variable in board["templating"]["list"]:
        defined.add(variable["name"])
        if variable["type"] == "query":
            form = r"label_values\((\w+)(?:\{.*\})?, (\w+)\)"
            match = re.fullmatch(form, variable["query"]["query"])
            assert match is not None
            assert match[2] in known[match[1]] | ADDED
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board)))
    assert used - {"__all"} <= defined


def test_panels_lie_beside_each_other() -> None:
    """Inside the grid's 24 columns, none on another; ids are unique."""
    board = dashboard()["panels"]
    assert isinstance(board, list)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in board
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len(board) == len({panel["id"] for panel in board})


def test_the_file_is_current() -> None:
    """It is what scripts/dashboard.py makes of its panels."""
    assert 0 == main(["--check"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sum (a",
        "sum (a))",
        "rate(a)",
        "sum (a[5m])",
        'a{b="c"',
        "a{b=c}",
        "histogram_quantile(0.5, a_bucket)",
        "histogram_quantile(5, sum by (le) (rate(a_bucket[5m])))",
        "histogram_quantile(0.5, sum by (le) (rate(a_sum[5m])))",
        "smu (a)",
        "a +",
        "a b",
        "a § b",
    ],
)
def test_mistakes_are_found(text: str) -> None:
    """The parser that all this rests on refuses what Prometheus would refuse."""
    with pytest.raises(NotUnderstood):
        parse(text)
