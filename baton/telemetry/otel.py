"""Traces and metrics for OpenTelemetry, by its conventions for generative AI. An optional extra.

This file alone imports opentelemetry; it is loaded only where the setting `otel_url` names a
collector. One span a completion, with one below it for each call of an upstream. Numbers and names
are told, never text. What cannot be sent is dropped by the SDK's own bounded queue, in its own
threads: no request waits for a collector.
"""

import contextvars
import logging
from collections.abc import Iterable

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from baton.telemetry.log import AccessLine

OPERATION = "text_completion"
NAMES = (b"traceparent", b"tracestate")
METRICS_INTERVAL_MS = 15_000
SEND_S = 2.0
"""For one batch, retries included: so long the end of a worker may wait for a collector, twice."""
NAME_CHARS_MAX = 256
"""Of a model's name as a caller wrote it."""
TOKENS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of buckets, as the conventions advise them."""

Attributes = dict[str, str | int | float]


class Request:
    """One completion under way."""

    __slots__ = ("context", "ended", "models", "span")

    def __init__(self, span: trace.Span) -> None:
        self.span, self.context = span, trace.set_span_in_context(span, context.Context())
        self.models: dict[str, str] = {}
        """By upstream, what it was asked for: several may be, and any of them answers."""
        self.ended = False

    def end(self) -> None:
        self.ended = True
        self.span.end()


class Attempt:
    """One call of an upstream. `end` may be called more than once; the first one counts."""

    __slots__ = ("_open", "_span", "headers")

    def __init__(self, span: trace.Span, headers: tuple[tuple[str, str], ...]) -> None:
        self._span, self._open = span, True
        self.headers = headers
        """What the upstream is sent, so that its own spans stand below this one."""

    def end(self, error: str = "") -> None:
        if not self._open:
            return
        self._open = False
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


CURRENT: contextvars.ContextVar[Request | None] = contextvars.ContextVar("request", default=None)
"""The completion that the running task works for."""


class Telemetry:
    """Owns the SDK's providers and their threads; `close` sends what is left."""

    def __init__(
        self, version: str, sample_ratio: float, spans: SpanExporter, reader: MetricReader
    ) -> None:
        own = Resource({SERVICE_NAME: "baton", SERVICE_VERSION: version})
        resource = own.merge(OTELResourceDetector().detect())
        self._traces = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._traces.add_span_processor(BatchSpanProcessor(spans))
        # It warns of callers' headers that are none, with what they wrote, in a line each.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        self._metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("baton", version)
        self._propagator = TraceContextTextMapPropagator()
        meter = self._metrics.get_meter("baton", version)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "From a request's arrival to the end of its answer.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of a request, as charged.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._first_token = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            "s",
            "From a request's arrival to its first token.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Request:
        """A completion arrived; a trace of the caller's goes on."""
        carrier = {
            name.decode(): value.decode("latin-1") for name, value in headers if name in NAMES
        }
        parent = self._propagator.extract(carrier, context.Context())
        span = self._tracer.start_span(OPERATION, parent, trace.SpanKind.SERVER)
        request = Request(span)
        CURRENT.set(request)
        return request

    def attempt(self, upstream: str, model: str) -> Attempt:
        """An upstream is about to be called, for the current completion or for none."""
        request = CURRENT.get()
        if request is not None:
            request.models[upstream] = model
        span = self._tracer.start_span(
            f"{OPERATION} {model}",
            request.context if request is not None else context.Context(),
            trace.SpanKind.CLIENT,
            {
                "gen_ai.operation.name": OPERATION,
                "gen_ai.request.model": model,
                "server.address": upstream,
            },
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, trace.set_span_in_context(span, context.Context()))
        return Attempt(span, tuple(carrier.items()))

    def told(self, line: AccessLine) -> None:
        """A completion has ended, and this is what is known of it."""
        request = CURRENT.get()
        routed = _routed(line, request.models.get(line.upstream, "") if request is not None else "")
        self._duration.record(line.total_ms / 1e3, routed)
        if line.upstream and not line.error:
            for kind, count in (("input", line.prompt_tokens), ("output", line.completion_tokens)):
                self._tokens.record(count, {**routed, "gen_ai.token.type": kind})
        if line.first_byte_ms is not None:
            self._first_token.record(line.first_byte_ms / 1e3, routed)
        if request is not None and not request.ended:
            _describe(request.span, line, routed)

    def close(self) -> None:
        """Blocks for at most some seconds."""
        self._traces.shutdown()
        self._metrics.shutdown(SEND_S * 1e3)


def _routed(line: AccessLine, response_model: str) -> Attributes:
    """Attributes of metrics: configured names alone, so that their number is bounded."""
    found: Attributes = {"gen_ai.operation.name": OPERATION}
    if line.upstream:
        found |= {
            "gen_ai.request.model": line.model,
            "gen_ai.response.model": response_model or line.model,
            "server.address": line.upstream,
        }
    if line.error or not line.status:
        found["error.type"] = line.error or "client_gone"
    return found


def _describe(span: trace.Span, line: AccessLine, routed: Attributes) -> None:
    model = line.model[:NAME_CHARS_MAX]
    span.update_name(f"{OPERATION} {model}" if model else OPERATION)
    span.set_attributes(
        {
            "gen_ai.request.model": model,
            **routed,
            "gen_ai.response.id": line.request_id,
            "gen_ai.usage.input_tokens": line.prompt_tokens,
            "gen_ai.usage.output_tokens": line.completion_tokens,
            "http.response.status_code": line.status,
            "baton.key": line.key,
            "baton.charge_nano_usd": line.charge_nano,
            "baton.handoffs": line.handoffs,
            "baton.fills": line.fills,
        }
    )
    if line.error and line.status >= 500:  # a caller's own mistake is no error of the server
        span.set_status(trace.StatusCode.ERROR)


def start(url: str, sample_ratio: float, version: str) -> Telemetry:
    """Sends to a collector at `url`; headers and the like are OpenTelemetry's own variables'."""
    base = url.rstrip("/")
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{base}/v1/metrics", timeout=SEND_S), METRICS_INTERVAL_MS
    )
    spans = OTLPSpanExporter(f"{base}/v1/traces", timeout=SEND_S)
    return Telemetry(version, sample_ratio, spans, reader)
