"""The dashboard for Grafana, made of the rows in panels.py by `python -m scripts.dashboard`.

`--check` fails when deploy/grafana/baton.json is not what they say. Every name of a metric in
it is tested against what /metrics exposes (tests/system/test_dashboard.py).
"""

import json
import pathlib
import sys

from scripts.panels import ROWS, Panel

FILE = pathlib.Path(__file__).parent.parent / "deploy/grafana/baton.json"
WIDTH = 24
"""Columns of Grafana's grid."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHTS = {"stat": 4, "timeseries": 8}


def dashboard() -> dict[str, object]:
    panels: list[dict[str, object]] = []
    top = 0
    for title, row in ROWS:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place})
        top, left, height = top + 1, 0, 0
        for panel in row:
            if left + panel.width > WIDTH:
                top, left = top + height, 0
            height = HEIGHTS[panel.kind]
            place = {"h": height, "w": panel.width, "x": left, "y": top}
            panels.append({"id": len(panels) + 1, "gridPos": place, **shown(panel)})
            left += panel.width
        top += height
    return {
        "uid": "baton",
        "title": "Baton",
        "tags": ["baton"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables()},
        "panels": panels,
    }


def shown(panel: Panel) -> dict[str, object]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression}
        | ({"legendFormat": legend} if legend else {})
        for at, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def variables() -> list[dict[str, object]]:
    """What a reader may choose: the data source, the scraped jobs, models and upstreams."""
    source: dict[str, object] = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    chosen = {
        "job": "label_values(baton_workers, job)",
        "model": 'label_values(baton_requests_total{job=~"$job"}, model)',
        "upstream": 'label_values(baton_requests_total{job=~"$job"}, upstream)',
    }
    return [source] + [
        {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }
        for name, query in chosen.items()
    ]


def main(arguments: list[str]) -> int:
    text = json.dumps(dashboard(), indent=2) + "\n"
    if "--check" in arguments:
        current = FILE.read_text(encoding="utf-8") == text
        print(end="" if current else f"{FILE.name} is old: run python -m scripts.dashboard\n")
        return not current
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
