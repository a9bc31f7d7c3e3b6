"""OpenTelemetry around a whole worker, with a collector on loopback; and its absence."""

import pathlib
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from baton import tracing
from baton.config import Settings, SettingsError
from baton.errors import invalid
from baton.upstreams.failures import failure
from tests.fakes.collector import Collector, attributes
from tests.relaying import MODEL, THEIRS, relaying

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROJECT = pathlib.Path(__file__).parents[1] / "pyproject.toml"
SECRET = "a secret that nobody may tell"


def test_a_request_is_one_trace(tmp_path: pathlib.Path) -> None:
    """From the caller's span over ours to the upstream's; streamed or whole; no text in it."""
    with Collector() as collector:
        with relaying(tmp_path, otel_url=collector.url) as relay:
            for stream in (False, True):
                body = {"model": MODEL, "prompt": SECRET, "stream": stream}
                answer = relay.user.post("/v1/completions", body, traceparent=PARENT)
                assert 200 == answer.status
            sent = [seen["traceparent"] for seen in relay.fake.heads]
        spans = {span.span_id: span for span in collector.spans}
        roots = [
            span for span in spans.values() if span.parent_span_id.hex() == PARENT.split("-")[2]
        ]
        calls = [span for span in spans.values() if span.parent_span_id in spans]
    assert (2, 2, 4) == (len(roots), len(calls), len(spans))
    assert {PARENT.split("-")[1]} == {span.trace_id.hex() for span in spans.values()}
    told = attributes(roots[0])
    assert (MODEL, THEIRS) == (told["gen_ai.request.model"], told["gen_ai.response.model"])
    assert told["gen_ai.usage.input_tokens"] > 0
    assert {span.span_id.hex() for span in calls} == {head.split("-")[2] for head in sent}
    assert "baton" == collector.resource["service.name"]
    assert SECRET.encode() not in collector.bodies
    assert {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.server.time_to_first_token",
    } == set(collector.metrics)


def test_a_hand_off_is_a_second_call(tmp_path: pathlib.Path) -> None:
    """The one that was lost with its error, the one that went on without."""
    with Collector() as collector:
        with relaying(tmp_path, {"a": "vllm", "b": "vllm"}, otel_url=collector.url) as relay:
            relay.fake.fault(cut_after_bytes=300)
            relay.user.complete(prompt="one two three", stream=True, max_tokens=12)
        calls = [attributes(span) for span in collector.spans if span.kind == 3]
        [root] = [attributes(span) for span in collector.spans if span.kind == 2]
    assert ["a", "b"] == [call["server.address"] for call in calls]
    assert [True, False] == ["error.type" in call for call in calls]
    assert (1, "a") == (root["baton.handoffs"], root["server.address"])


def test_a_collector_that_is_away_costs_nothing(tmp_path: pathlib.Path) -> None:
    """Requests are answered, and the worker ends in time."""
    with relaying(tmp_path, otel_url="http://127.0.0.1:9") as relay:
        assert 200 == relay.user.complete(prompt="a b").status


def test_without_a_collector_nothing_is_loaded() -> None:
    """Not even the extra: serving imports none of it."""
    code = (
        "import sys, baton.app; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], timeout=60).returncode
    assert tracing.telemetry(Settings(), "1") is None


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, with what to install."""
    monkeypatch.setitem(sys.modules, "baton.telemetry.otel", None)
    with pytest.raises(SettingsError, match=f"pip install {' '.join(tracing.PACKAGES)}"):
        tracing.telemetry(Settings(otel_url="http://127.0.0.1:9"), "1")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [each.partition(">")[0] for each in project["optional-dependencies"]["otel"]]
    assert wanted == list(tracing.PACKAGES)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (failure("stream", "network", "a secret"), "network"),
        (invalid("x", code="invalid_type"), "invalid_type"),
        (ValueError("a secret"), "ValueError"),
    ],
)
def test_errors_are_words_of_ours(error: Any, word: str) -> None:
    """Never what an upstream or a caller wrote."""
    assert word == tracing.told(error)
