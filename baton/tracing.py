"""Where OpenTelemetry meets the path of a request: around it, never in it.

With the setting `otel_url` three parts are replaced by ones that also tell (`telemetry/otel.py`):
the room, so that a span lasts as long as its request; the access log, whose line has all that is
known of a request at its end; and the upstreams over HTTP, so that each call is a span of its own
and carries the trace on. Without it none of them exists and nothing is imported.
"""

import asyncio
import contextvars
import importlib
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, cast

import msgspec

from baton.config import Settings, SettingsError
from baton.errors import RequestError
from baton.http.exchange import Exchange
from baton.semantics.events import Call, Event
from baton.telemetry.log import AccessLine, AccessLog, Telling
from baton.upstreams.base import Adapter, HttpRequest, Texts, UpstreamError
from baton.upstreams.http import HttpStream, HttpUpstream
from baton.upstreams.response import Response
from baton.upstreams.transport import Transport

PACKAGES = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
"""What `baton-relay[otel]` is, by the names that a package index has."""
Room = Callable[[Exchange], Coroutine[Any, Any, None]]


class Request(Protocol):
    def end(self) -> None: ...


class Attempt(Protocol):
    headers: tuple[tuple[str, str], ...]

    def end(self, error: str = "") -> None: ...


class Telemetry(Protocol):
    """What `telemetry.otel.Telemetry` is to the rest."""

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Request: ...
    def attempt(self, upstream: str, model: str) -> Attempt: ...
    def told(self, line: AccessLine) -> None: ...
    def close(self) -> None: ...


def telemetry(settings: Settings, version: str) -> Telemetry | None:
    """None where no collector is named. SettingsError where its packages are not."""
    if not settings.otel_url:
        return None
    try:
        otel = importlib.import_module("baton.telemetry.otel")
    except ModuleNotFoundError as error:
        pip = f"{sys.executable} -m pip install {' '.join(PACKAGES)}"
        message = f"BATON_OTEL_URL needs two packages more ({error.name} is missing): {pip}"
        raise SettingsError(message) from None
    started: Telemetry = otel.start(settings.otel_url, settings.otel_sample_ratio, version)
    return started


def around(room: Room, telemetry: Telemetry) -> Room:
    """The room, with a span around each request."""

    async def answer(exchange: Exchange) -> None:
        request = telemetry.begin(exchange.headers)
        try:
            await room(exchange)
        finally:
            request.end()

    return answer


class ToldLog(AccessLog):
    """The access log, which also tells each line."""

    def __init__(self, target: str, telemetry: Telemetry) -> None:
        super().__init__(target)
        self._telemetry = telemetry

    def append(self, line: Telling) -> None:
        self._telemetry.told(line.line)
        super().append(line)


_CARRIED: contextvars.ContextVar[tuple[tuple[str, str], ...]] = contextvars.ContextVar(
    "carried", default=()
)
"""Headers that the call which is being opened takes along."""


class Carrying:
    """A transport that adds the trace's headers; else the one that it wraps."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def send(self, request: HttpRequest, tenant: str = "") -> Response:
        carried = _CARRIED.get()
        if carried:
            headers = (*request.headers, *carried)
            request = msgspec.structs.replace(request, headers=headers)
        return await self._transport.send(request, tenant)


class TracedUpstream(HttpUpstream):
    """An upstream each of whose calls is a span."""

    def __init__(
        self,
        telemetry: Telemetry,
        name: str,
        adapter: Adapter,
        transport: Transport,
        secrets: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, adapter, cast(Transport, Carrying(transport)), secrets)
        self._telemetry = telemetry

    async def open(self, call: Call) -> HttpStream:
        attempt = self._telemetry.attempt(self.name, call.model)
        token = _CARRIED.set(attempt.headers)
        try:
            stream = await super().open(call)
        except BaseException as error:
            attempt.end(told(error))
            raise
        finally:
            _CARRIED.reset(token)
        return TracedStream(stream, attempt)


class TracedStream(HttpStream):
    """A running call whose end is told: whole, failed, or let go."""

    __slots__ = ("_attempt", "_stream")

    def __init__(self, stream: HttpStream, attempt: Attempt) -> None:
        self._stream, self._attempt = stream, attempt
        self.prompt_tokens = stream.prompt_tokens

    async def read(self) -> Sequence[Event]:
        try:
            events = await self._stream.read()
        except BaseException as error:
            self._attempt.end(told(error))
            raise
        if not events:
            self._attempt.end()
        return events

    async def pour(
        self, take: Callable[[Sequence[Event]], bool], texts: Texts | None = None
    ) -> None:
        try:
            await self._stream.pour(take, texts)
        except BaseException as error:
            self._attempt.end(told(error))
            raise

    def close(self) -> None:
        self._stream.close()
        self._attempt.end()


def told(error: BaseException) -> str:
    """What a span says of an error: a word of ours, never what anybody wrote."""
    if isinstance(error, UpstreamError):
        return error.kind
    if isinstance(error, RequestError):
        return error.code or str(error.status)
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
