"""What OpenTelemetry is told: spans and metrics by the conventions, and never a text."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from baton.telemetry.log import AccessLine, now
from baton.telemetry.otel import CURRENT, Telemetry

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Told:
    """Telemetry into memory."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.telemetry = Telemetry("1", ratio, self.exporter, self.reader)

    def spans(self) -> list[ReadableSpan]:
        self.telemetry._traces.force_flush()
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = data.resource_metrics[0].scope_metrics[0].metrics
        return [point for one in metrics if one.name == name for point in one.data.data_points]


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.telemetry.close()
    CURRENT.set(None)


def line(**fields: Any) -> AccessLine:
    given = {"request_id": "cmpl-1", "status": 200, "total_ms": 1500.0, "model": "small"}
    return AccessLine(time=now(), **{**given, "upstream": "gpu", **fields})


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_completion_is_a_span(told: Told) -> None:
    """With the conventions' names, and the upstream's own name of the model."""
    request = told.telemetry.begin([])
    told.telemetry.attempt("gpu", "Qwen/Qwen3").end()
    told.telemetry.told(line(prompt_tokens=3, completion_tokens=5, charge_nano=7, handoffs=1))
    request.end()
    call, root = told.spans()
    assert "text_completion small" == root.name
    told_of = attributes_of(root)
    wanted = {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "Qwen/Qwen3",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.id": "cmpl-1",
        "server.address": "gpu",
        "baton.charge_nano_usd": 7,
        "baton.handoffs": 1,
    }
    assert wanted == {name: told_of[name] for name in wanted}
    assert "error.type" not in told_of
    assert call.parent is not None
    assert root.context is not None
    assert root.context.span_id == call.parent.span_id


def test_of_several_that_were_asked_the_one_that_answered(told: Told) -> None:
    """As in a race that the first one wins after all: its model, not that of who was asked last."""
    request = told.telemetry.begin([])
    told.telemetry.attempt("gpu", "Qwen/Qwen3").end()
    told.telemetry.attempt("spare", "other").end("cancelled")
    told.telemetry.told(line())
    request.end()
    [point] = told.points("gen_ai.client.operation.duration")
    for found in (attributes_of(told.spans()[-1]), point.attributes):
        assert ("gpu", "Qwen/Qwen3") == (found["server.address"], found["gen_ai.response.model"])


def test_a_caller_s_trace_goes_on(told: Told) -> None:
    """In from its header, out to the upstream in the same trace."""
    request = told.telemetry.begin([(b"traceparent", PARENT), (b"tracestate", b"a=b")])
    attempt = told.telemetry.attempt("gpu", "m")
    attempt.end()
    request.end()
    call, root = told.spans()
    assert root.parent is not None
    assert 0xB7AD6B7169203331 == root.parent.span_id
    assert call.context is not None
    sent = dict(attempt.headers)
    assert (
        f"00-0af7651916cd43dd8448eb211c80319c-{call.context.span_id:016x}-01"
        == (sent["traceparent"])
    )
    assert "a=b" == sent["tracestate"]


@pytest.mark.parametrize("value", [b"", b"00-zz", b"\xff" * 300])
def test_a_header_that_is_none_begins_a_new_trace(told: Told, value: bytes) -> None:
    """Whatever callers send."""
    told.telemetry.begin([(b"traceparent", value)]).end()
    assert told.spans()[0].parent is None


@pytest.mark.parametrize(
    "value", [b"a=\xe9 secret", b"secret", b"a=" + b"x" * 9_000, b"a=b," * 40, b"a=b,a=b"]
)
def test_nothing_that_callers_send_is_logged(
    told: Told, caplog: pytest.LogCaptureFixture, value: bytes
) -> None:
    """Not by the library either: whoever has no key could fill the log, with words of their own."""
    told.telemetry.begin([(b"traceparent", PARENT), (b"tracestate", value)]).end()
    told.telemetry.begin([(b"traceparent", b"0" * 600), (b"tracestate", b"a=b")]).end()
    assert [] == caplog.records


def test_failures_are_told_by_their_codes(told: Told) -> None:
    """A server's are errors of the span; a caller's own mistake is told, but is none."""
    for status, code in ((502, "upstream_lost"), (400, "invalid_type"), (0, None)):
        request = told.telemetry.begin([])
        told.telemetry.told(line(status=status, error=code, upstream=""))
        request.end()
    spans = told.spans()
    assert ["upstream_lost", "invalid_type", "client_gone"] == [
        attributes_of(span)["error.type"] for span in spans
    ]
    assert [StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET] == [
        span.status.status_code for span in spans
    ]


def test_metrics_have_bounded_names(told: Told) -> None:
    """What was never routed has no model in them, whatever was written there."""
    told.telemetry.told(line(prompt_tokens=3, completion_tokens=5, first_byte_ms=250.0))
    told.telemetry.told(line(model="x" * 1000, upstream="", status=404, error="model_not_found"))
    served, refused = told.points("gen_ai.client.operation.duration")
    assert 1.5 == served.sum
    assert "small" == served.attributes["gen_ai.request.model"]
    assert "gen_ai.request.model" not in refused.attributes
    usage = told.points("gen_ai.client.token.usage")
    assert {"input": 3, "output": 5} == {
        point.attributes["gen_ai.token.type"]: point.sum for point in usage
    }
    assert [0.25] == [point.sum for point in told.points("gen_ai.server.time_to_first_token")]


def test_a_line_that_comes_late_is_counted(told: Told) -> None:
    """A run apart from its connection may end after the span of the caller that left."""
    told.telemetry.begin([]).end()
    told.telemetry.told(line())
    assert 1 == len(told.points("gen_ai.client.operation.duration"))


def test_a_share_of_traces_is_kept() -> None:
    """None at 0, but for those whose caller keeps them."""
    made = Told(0.0)
    made.telemetry.begin([]).end()
    made.telemetry.begin([(b"traceparent", PARENT)]).end()
    assert 1 == len(made.spans())
    made.telemetry.close()
    CURRENT.set(None)
