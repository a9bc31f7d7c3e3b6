"""What every answer beside the completion endpoint wears: request id, safe headers, CORS, access
line.

Pure ASGI, around the whole application, so that also the answers to unknown paths and to our own
faults are dressed.
"""

import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from baton.http.paths import READY_PATHS
from baton.telemetry.log import AccessLine, now
from baton.web.cors import Cors
from baton.web.services import Services

if TYPE_CHECKING:
    from starlette.requests import Request  # loaded with the rooms that have one

STATE = "baton"
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = (
    (b"content-security-policy", PAGE_POLICY),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Trace:
    """What is known of one request while it is answered; routes fill in who asked."""

    __slots__ = ("error", "key", "request_id", "started", "status")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.started = time.perf_counter()
        self.status = 0
        self.key = ""
        self.error: str | None = None


def trace(request: "Request") -> Trace:
    found = request.scope["state"][STATE]
    assert isinstance(found, Trace)
    return found


class Envelope:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app, self.services = app, services
        self.cors = Cors.of(services.settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = Trace(self.services.new_id("req"))
        scope.setdefault("state", {})[STATE] = trace
        given = dict(scope["headers"])
        origin = given.get(b"origin")

        async def dress(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers(message, trace)]
                message["headers"] += self.cors.headers(origin)
            await send(message)

        wanted = b"access-control-request-method" in given and scope["method"] == "OPTIONS"
        if wanted and (headers := self._preflight(given)):
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            await self.app(scope, receive, dress)
        finally:
            self._log(scope, trace)

    def _preflight(self, given: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        wanted = given.get(b"access-control-request-headers", b"")
        return self.cors.preflight(given.get(b"origin"), wanted)

    def _headers(
        self, message: MutableMapping[str, Any], trace: Trace
    ) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"x-request-id", trace.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        given = dict(message.get("headers", ()))
        if given.get(b"content-type", b"").startswith(b"text/html"):
            headers += [each for each in PAGE_HEADERS if each[0] not in given]
        return headers

    def _log(self, scope: Scope, trace: Trace) -> None:
        if scope["path"] in READY_PATHS and trace.status in (200, 503):
            return  # an answer, either way, and asked for every few seconds
        self.services.access_log.append(
            AccessLine(
                time=now(),
                request_id=trace.request_id,
                status=trace.status,
                total_ms=round((time.perf_counter() - trace.started) * 1e3, 3),
                method=scope["method"],
                path=scope["path"],
                key=trace.key,
                error=trace.error,
            )
        )
