"""A collector of OpenTelemetry's on loopback: takes OTLP over HTTP, keeps what came."""

import gzip
import http.server
import threading
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TIMEOUT_S = 10.0


class Collector(http.server.ThreadingHTTPServer):
    """`with Collector() as collector`: `spans` and `metrics` are what was sent so far."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.spans: list[Span] = []
        self.metrics: dict[str, Any] = {}
        self.resource: dict[str, Any] = {}
        self.bodies = b""
        """Everything that came, for what must not be in it."""
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(TIMEOUT_S)
        self.server_close()

    def took(self, path: str, body: bytes) -> None:
        self.bodies += body
        if path == "/v1/traces":
            asked = ExportTraceServiceRequest.FromString(body)
            for resource in asked.resource_spans:
                self.resource = attributes(resource.resource)
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            return
        for found in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in found.scope_metrics:
                self.metrics.update({metric.name: metric for metric in scope.metrics})


class _Post(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        self.server.took(self.path, body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Nobody reads it."""


def attributes(one: Any) -> dict[str, Any]:
    """Of a span, a resource or a data point, as plain values."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in one.attributes
    }
