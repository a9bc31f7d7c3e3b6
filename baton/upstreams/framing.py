"""The bytes of an answer as payloads, within what the call can explain. The base of decoders."""

from collections.abc import Sequence

from baton.semantics.events import Event
from baton.semantics.sse import EventTooLarge, SseDecoder
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure


class BoundedEvents:
    """Server-sent events of an answer of at most `bytes_max` bytes."""

    media_type = b"text/event-stream"
    __slots__ = ("_bytes_left", "_sse", "whole")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left, self._sse = bytes_max, SseDecoder(bytes_max)
        self.whole = False

    def _payloads(self, data: bytes) -> Sequence[bytes]:
        """Those that are complete now. Raises UpstreamError beyond the bytes."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise too_much()
        try:
            return self._sse.feed(data)
        except EventTooLarge as error:
            raise failure("stream", "protocol", "an event of too many bytes") from error


class BoundedBody:
    """One body of at most `bytes_max` bytes, read when it has ended."""

    media_type = b"application/json"
    __slots__ = ("_bytes_left", "_parts", "whole")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_left = bytes_max
        self._parts: list[bytes] = []
        self.whole = False

    def feed(self, data: bytes) -> Sequence[Event]:
        """Keep a part; no event before the end. Raises UpstreamError beyond the bytes."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise too_much()
        self._parts.append(data)
        return ()

    def _body(self) -> bytes:
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)


def too_much() -> UpstreamError:
    """Of an answer that is larger than any honest one."""
    return failure("stream", "protocol", "more bytes than the call can explain")
