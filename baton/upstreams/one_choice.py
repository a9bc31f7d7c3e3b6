"""The answer of a server that gives one choice a call, in whatever frames it comes.

Three layers, each of which knows one thing. A `Frames` splits bytes into payloads (`events` for
server-sent events, `lines` for JSON a line, `body` for one JSON text). A `Reader` knows what a
payload of its dialect says. `OneChoice` knows what must hold of the answer as a whole: no text
after the end, one finish_reason, nothing whole without one.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from baton.semantics.events import Call, Delta, Event, FinishReason, Usage, UsageReported
from baton.semantics.sse import EventTooLarge, SseDecoder
from baton.upstreams.base import Decoder
from baton.upstreams.completions_wire import count
from baton.upstreams.failures import failure
from baton.upstreams.framing import answer_bytes_max
from baton.upstreams.wire_logprobs import LogprobsReader

END_MARK = b"[DONE]"


class Reader(Protocol):
    """One dialect's payloads as events. Raises UpstreamError(kind="protocol") on nonsense."""

    choice: "OneChoice"

    def read(self, payload: bytes) -> Sequence[Event]: ...

    def unfinished(self) -> Sequence[Event]:
        """The answer ended, and its choice did not: with most servers it was cut."""
        raise failure("stream", "protocol", "ended before the choice had finished")


class OneChoice:
    """What is known of the only choice of a call."""

    __slots__ = ("_logprobs", "finished")

    def __init__(self, call: Call) -> None:
        wanted = call.logprobs is not None or call.scored
        self._logprobs = LogprobsReader(call) if wanted else None
        self.finished = False

    @property
    def wants_logprobs(self) -> bool:
        return self._logprobs is not None

    def piece(
        self, text: str, reason: FinishReason | None, logprobs: bytes = b"null"
    ) -> list[Event]:
        """The next text and, with it or later, why it ended. Nothing for a piece that is empty."""
        if self.finished:
            if text:
                raise failure("stream", "protocol", "text after the end of a choice")
            return []
        self.finished = reason is not None
        if not (text or reason or logprobs != b"null"):
            return []
        if self._logprobs is None:
            return [Delta(0, text, reason)]
        return [self._logprobs.delta(0, text, reason, logprobs, None)]


class Framed:
    """A Decoder: bytes to payloads by `split`, payloads to events by `reader`."""

    __slots__ = ("_bytes_left", "_reader", "_split", "media_type", "whole")

    def __init__(
        self, call: Call, reader: Reader, media_type: bytes, split: "Callable[[int], Frames]"
    ) -> None:
        self._bytes_left = answer_bytes_max(call)
        self._reader, self.media_type = reader, media_type
        self._split = split(self._bytes_left)
        self.whole = False

    def feed(self, data: bytes) -> Sequence[Event]:
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise failure("stream", "protocol", "more bytes than the call can explain")
        try:
            payloads = self._split.feed(data)
        except EventTooLarge as error:
            raise failure("stream", "protocol", "an event of too many bytes") from error
        return self._read(payloads)

    def finish(self) -> Sequence[Event]:
        events = [] if self.whole else self._read(self._split.finish())
        if not self._reader.choice.finished:
            return [*events, *self._reader.unfinished()]
        return events

    def _read(self, payloads: Sequence[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            if self.whole:
                break
            if payload.startswith(END_MARK):
                self.whole = True
            elif payload.strip() not in (b"", b"null"):
                events += self._reader.read(payload)
        return events


class Frames(Protocol):
    """Bytes in, whole payloads out; `finish` gives what no frame had ended yet."""

    def feed(self, data: bytes) -> Sequence[bytes]: ...

    def finish(self) -> Sequence[bytes]: ...


class _Events:
    def __init__(self, bytes_max: int) -> None:
        self._decoder = SseDecoder(bytes_max)

    def feed(self, data: bytes) -> Sequence[bytes]:
        return self._decoder.feed(data)

    def finish(self) -> Sequence[bytes]:
        return ()  # an event that no blank line ended is not complete


class _Lines:
    """JSON has no line end inside; the last line may lack its own."""

    def __init__(self, _bytes_max: int) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Sequence[bytes]:
        head, end, rest = data.rpartition(b"\n")
        if not end:
            self._parts.append(data)
            return ()
        lines = b"".join([*self._parts, head]).split(b"\n")
        self._parts = [rest] if rest else []
        return lines

    def finish(self) -> Sequence[bytes]:
        return [b"".join(self._parts)] if self._parts else ()


class _Body:
    def __init__(self, _bytes_max: int) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Sequence[bytes]:
        self._parts.append(data)
        return ()

    def finish(self) -> Sequence[bytes]:
        return [b"".join(self._parts)]


def events(call: Call, reader: Reader) -> Decoder:
    """Of server-sent events."""
    return Framed(call, reader, b"text/event-stream", _Events)


def lines(call: Call, reader: Reader) -> Decoder:
    """Of one JSON text a line."""
    return Framed(call, reader, b"application/x-ndjson", _Lines)


def body(call: Call, reader: Reader) -> Decoder:
    """Of one JSON text."""
    return Framed(call, reader, b"application/json", _Body)


def counted(told: object) -> int | None:
    """A count of tokens that can be; None for whatever else a server may say in its place."""
    return count(told) if type(told) is int else None


def reported(usage: Usage | None) -> list[Event]:
    """A usage that can be believed, as an event."""
    return [] if usage is None else [UsageReported(usage)]
