"""Write the guide's pages that are made of the code: settings, command line and metrics, in both
languages; with --check, fail where one is old.

The words are the code's own (docstrings of settings, help of options, meanings of metrics). Their
Chinese stands in reference_zh.json; what has none there, and what nobody needs there any more,
fails.
"""

import ast
import inspect
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, Literal

import msgspec
from prometheus_client import Metric

from baton import config
from baton.cli.man import EXITS
from baton.cli.tree import Node, Option, tree
from baton.reloading import FIXED
from baton.telemetry.exposition import (
    ENGINE_COUNTERS,
    ENGINE_GAUGES,
    ENGINE_HISTOGRAMS,
    Exposition,
)
from baton.telemetry.metrics import Histogram, Metrics
from baton.telemetry.upstreams import UpstreamNumbers

Language = Literal["en", "zh"]
ROOT = pathlib.Path(__file__).parent.parent
GUIDE = ROOT / "docs/guide"
WORDS = pathlib.Path(__file__).with_name("reference_zh.json")
MADE = "scripts/reference.py"


class Said:
    """What the code says, in one language. `used` and `missing` are told at the end."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.words: dict[str, str] = json.loads(WORDS.read_text(encoding="utf-8"))
        self.used: set[str] = set()
        self.missing: set[str] = set()

    def __call__(self, text: str) -> str:
        if not text:
            return ""
        self.used.add(text)
        if text not in self.words:
            self.missing.add(text)
        return text if self.language == "en" else self.words.get(text, text)


def cell(text: str) -> str:
    """Safe in a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def rows(head: Iterable[str], lines: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


# Settings


class Setting(msgspec.Struct, frozen=True):
    name: str
    group: str
    meaning: str
    default: str
    range: str


def settings() -> list[Setting]:
    """In the order of the file, with the comment that heads each group."""
    source = inspect.getsource(config)
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    lines = source.splitlines()
    types = {each.name: each for each in _fields()}
    found, group = [], ""
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = lines[node.lineno - 2].strip()
        group = above[2:] if above.startswith("# ") else group
        name = node.target.id
        default, bounds = types[name].default, _range(types[name].type)
        found.append(Setting(name, group, _docstring(after), _shown(default), bounds))
    return found


def _fields() -> tuple[msgspec.inspect.Field, ...]:
    info = msgspec.inspect.type_info(config.Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    return info.fields


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


def _range(kind: Any) -> str:
    if isinstance(kind, msgspec.inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    low = getattr(kind, "ge", None)
    above = getattr(kind, "gt", None)
    high = getattr(kind, "le", None)
    if high is None:
        return ""
    return f"{low} – {high}" if low is not None else f"> {above}, ≤ {high}"


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, str | bool) else f"{value}"


def settings_page(said: Said) -> Iterator[str]:
    yield "# " + said("Settings")
    yield ""
    yield said(
        "Every setting is a variable `BATON_NAME` or the key `name` in `baton.toml` in the data "
        "folder; variables win, options of `baton serve` win over both. What is unknown or out "
        "of range stops the start with a message that names it. An empty variable is as one that "
        'is not set; where the default is `""`, it is that. The last part of a name is its '
        "unit: `_s` seconds, `_ms` milliseconds, `_bytes`, `_tokens`, `_max` the most."
    )
    yield ""
    yield said(
        "`baton reload` has a running server read `baton.toml` anew, without a lost request; what "
        "it finds, it says on standard error. A file that cannot be used changes nothing. "
        "Variables are those that the server was started with; these wait for a restart:"
    )
    yield ""
    yield ", ".join(f"`BATON_{name.upper()}`" for name in FIXED)
    yield ""
    groups = dict.fromkeys(each.group for each in settings())
    for group in groups:
        yield "## " + said(group)
        yield ""
        head = [said(word) for word in ("Variable", "Default", "Range", "Meaning")]
        yield from rows(
            head,
            (
                (
                    f"`BATON_{each.name.upper()}`",
                    f"`{each.default}`",
                    each.range,
                    cell(said(each.meaning)),
                )
                for each in settings()
                if each.group == group
            ),
        )


# Command line


def cli_page(said: Said) -> Iterator[str]:
    yield "# " + said("Command line")
    yield ""
    yield said(
        "Commands work on the data folder (`BATON_HOME`), also while the server runs; what they "
        "change takes effect within a second. `--json` prints data for programs. `baton "
        "completion bash` (zsh, fish) prints what makes a shell complete them, `baton man` the "
        "manual page."
    )
    yield ""
    head = [said("Exit code"), said("Meaning")]
    yield from rows(head, ((f"`{code}`", said(meaning)) for code, meaning in EXITS))
    for group in tree().nodes:
        yield from _command(said, group, "##")
        for node in group.nodes:
            yield from _command(said, node, "###")


def _command(said: Said, node: Node, marks: str) -> Iterator[str]:
    yield f"{marks} {node.name}"
    yield ""
    yield cell(said(node.help))
    yield ""
    if node.nodes:
        return
    words = [each.name if each.required else f"[{each.name}]" for each in node.arguments]
    options = [each for each in node.options if "--help" not in each.names]
    yield "```text"
    yield " ".join([node.name, *words, *(["[options]"] if options else [])])
    yield "```"
    yield ""
    lines = [(f"`{each.name}`", cell(said(each.help))) for each in node.arguments]
    lines += [(_option(said, each), cell(said(each.help))) for each in options]
    if lines:
        yield from rows((said("Option"), said("Meaning")), lines)


def _option(said: Said, option: Option) -> str:
    value = f" {' or '.join(option.values) or 'VALUE'}" if option.takes_value else ""
    names = f"`{', '.join(option.names)}{value}`"
    return f"{names} {said('(required)')}" if option.required else names


# Metrics


def families() -> list[Metric]:
    """All of them, each with at least one sample."""
    metrics = Metrics()
    metrics.series("m", "u").answered(200, 0.1)
    metrics.filled(("echo",))
    metrics.upstreams = lambda: [UpstreamNumbers("u", {"healthy": 1})]
    numbers = dict.fromkeys((name for name, _ in (*ENGINE_GAUGES, *ENGINE_COUNTERS)), 0)
    times = {name: Histogram() for name, _ in ENGINE_HISTOGRAMS}
    engine: Any = SimpleNamespace(**numbers, **times)
    return list(Exposition(metrics.snapshot(), engine, "1").collect())


def metrics_page(said: Said) -> Iterator[str]:
    yield "# " + said("Metrics")
    yield ""
    yield said(
        "`GET /metrics` in Prometheus' text format, the sums of all workers of the machine. "
        "Counters do not fall when a worker is replaced. `model` and `upstream` are configured "
        "names, so their number is bounded; `gone` is the status of callers who left."
    )
    yield ""
    yield from rows(
        [said(word) for word in ("Name", "Kind", "Labels", "Meaning")],
        (
            (f"`{_exposed(one)}`", said(one.type), _labels(one), cell(said(one.documentation)))
            for one in families()
        ),
    )
    yield "## Grafana"
    yield ""
    yield said(
        "`deploy/grafana/baton.json` shows all of them: traffic, errors and latency, tokens and "
        "money, upstreams and hand-offs, holds and the journal, the engine. Import it and choose "
        "the data source; the variables `job` and `instance` come from Prometheus. It is written "
        "by `scripts/dashboard.py`, and a test holds every query in it against `/metrics`."
    )


def _exposed(one: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(one.type, "")
    return one.name + suffix


def _labels(one: Metric) -> str:
    found = dict.fromkeys(name for sample in one.samples for name in sample.labels if name != "le")
    return ", ".join(f"`{name}`" for name in found)


PAGES: dict[str, Callable[[Said], Iterator[str]]] = {
    "settings": settings_page,
    "cli": cli_page,
    "metrics": metrics_page,
}


def made() -> tuple[dict[pathlib.Path, str], list[str]]:
    """Pages by file, and what is wrong with the translations."""
    pages, faults = {}, []
    for language in ("en", "zh"):
        said = Said(language)
        for name, page in PAGES.items():
            text = "\n".join(page(said)).rstrip() + "\n"
            pages[GUIDE / language / f"{name}.md"] = text
        faults = [
            f"{WORDS.name}: no Chinese of {text!r}: write it there, then run {MADE}"
            for text in sorted(said.missing)
        ]
        faults += [f"{WORDS.name}: nobody says {text!r}" for text in said.words.keys() - said.used]
    return pages, faults


def main() -> int:
    pages, faults = made()
    if "--check" in sys.argv:
        for path, text in pages.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                faults.append(f"{path.relative_to(ROOT)} is not current: run python {MADE}")
    else:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
    print(*faults, sep="\n", end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
