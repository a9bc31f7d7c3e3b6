"""The rules for Prometheus: each name, label and value in them is one that /metrics exposes."""

import pathlib
import re
from typing import Any

import pytest
import yaml

from tests.system.promql import parse
from tests.system.test_dashboard import ADDED, VALUES, exposed

FILE = pathlib.Path(__file__).parents[2] / "deploy/prometheus/alerts.yaml"
GUIDES = FILE.parents[2] / "docs/guide"
OWN = {"up": {"job"}}
"""What Prometheus itself knows of what it scrapes."""


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    assert len(found) > 5
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_is_of_what_is_exposed(rule: dict[str, Any]) -> None:
    """A metric, its labels, the words that they are compared with, and what its summary names."""
    known, found = exposed() | OWN, parse(rule["expr"])
    assert found
    for each in found:
        assert each.metric in known
        assert each.labels <= known[each.metric] | ADDED
        for label, _, value in each.matchers:
            assert value in VALUES.get(label, {"baton"})
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert all(named <= each.grouped | OWN.get(each.metric, set()) | ADDED for each in found)
    assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_guide_says_what_to_do(language: str) -> None:
    """A line for each, in the file's order."""
    text = (GUIDES / language / "monitoring.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules()] == re.findall(r"^\| `(Baton\w+)` \|", text, re.M)
