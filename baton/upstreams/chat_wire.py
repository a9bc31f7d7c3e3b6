"""What the chat dialects share: one choice as it comes, and bodies of both kinds made payloads of.

A dialect gives a `Reader`, which understands one JSON payload at a time; `EventStreamDecoder` and
`JsonDecoder` bring it the payloads of a stream or the one of a whole answer, bounded by what the
call can explain. `Reply` is the one choice (a chat is asked for one at a time): its text goes
through the Cleaning of `continuation`, its logprobs follow the text, and it has one finish_reason.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from baton.semantics.events import Call, Delta, Event, FinishReason, Logprobs
from baton.semantics.logprobs import Position, legacy, read
from baton.semantics.places import Places
from baton.upstreams.base import Kind
from baton.upstreams.continuation import Cleaning, text_of
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE, BoundedBody, BoundedEvents, answer_bytes_max

Parsed = TypeVar("Parsed")
NULL = msgspec.Raw(b"null")


def parsed(decoder: msgspec.json.Decoder[Parsed], payload: bytes | msgspec.Raw) -> Parsed:
    """Raises UpstreamError where the payload is not of this shape."""
    try:
        return decoder.decode(payload)
    except UNREADABLE as error:
        raise failure("stream", "protocol", "an answer of another shape") from error


def believed(decoder: msgspec.json.Decoder[Parsed], raw: msgspec.Raw) -> Parsed | None:
    """A part that an answer can do without: None where it is absent or of another shape."""
    try:
        return None if raw == NULL else decoder.decode(raw)
    except UNREADABLE:
        return None


class WirePart(msgspec.Struct):
    """Of a message's content."""

    type: str = ""
    text: str | None = None


def content_text(content: str | Sequence[WirePart] | None) -> str:
    """Of parts those of text: thoughts and references are none of it."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text or "" for part in content if part.type == "text")


class Reply:
    """The one choice of a chat call. `said` tells whether the model has said anything yet."""

    __slots__ = ("_call", "_cleaning", "_kept", "_logprobs", "_received", "finished", "said")

    def __init__(self, call: Call, cleaning: Cleaning) -> None:
        self._cleaning = cleaning
        self._logprobs = ReplyLogprobs(call) if call.logprobs is not None or call.scored else None
        self._call = call
        self._received = self._kept = 0
        self.finished = self.said = False

    def events(
        self, text: str, reason: FinishReason | None = None, logprobs: bytes = b"null"
    ) -> list[Event]:
        """The delta of one payload, where it makes one."""
        if self.finished:
            if text:
                raise failure("stream", "protocol", "text after the end of a choice")
            return []
        scores = self._logprobs
        if scores is not None:
            scores.add(logprobs, self._received)
        self._received += len(text)
        self.said = self.said or bool(text)
        kept = self._cleaning.feed(text) if text else ""
        if reason is not None:
            self.finished = True
            kept += self._cleaning.finish()
        self._kept += len(kept)
        shown = None if scores is None else scores.take(self._cleaning.dropped, self._kept)
        if not (kept or reason or (shown and shown.tokens)):
            return []
        score = scores.score if scores is not None and self._call.scored and reason else None
        told = scores.count if scores is not None and score is not None else None
        wanted = shown if self._call.logprobs is not None else None
        return [Delta(0, kept, reason, wanted, None, score, told)]

    def finish(self) -> list[Event]:
        """Raises unless the choice has finished."""
        if not self.finished:
            raise failure("stream", "protocol", "ended before the choice had finished")
        return []

    def broken(self, kind: Kind, detail: str) -> Exception:
        """What an error event means: before the first word nothing was computed that counts."""
        return failure("stream" if self.said else "first_byte", kind, detail)


class ReplyLogprobs:
    """The logprobs of a reply's tokens, given out with the text that they belong to."""

    __slots__ = ("_alternatives", "_came", "_pending", "_start", "count", "score")

    def __init__(self, call: Call) -> None:
        self._alternatives = call.logprobs or 0
        self._start = len(text_of(call))
        self._pending: list[tuple[int, Position]] = []
        self.score: float | None = None
        """Sum over all tokens of the reply."""
        self.count = 0

    def add(self, raw: bytes, at: int) -> None:
        """Tokens whose text begins at the reply's character `at`."""
        try:
            positions = read(raw) or ()
        except ValueError as error:
            raise failure("stream", "protocol", "logprobs of another shape") from error
        for position in positions:
            self._pending.append((at, position))
            at += len(position.token)
            if position.logprob is not None:
                self.score = (self.score or 0.0) + position.logprob
                self.count += 1

    def take(self, dropped: int, kept: int) -> Logprobs:
        """Those of the text that has been passed on: `kept` characters behind `dropped`. What
        began before it and reaches into it counts with the part that was passed on."""
        ready: list[Position] = []
        place = dropped + kept
        begins = dropped
        while kept and self._pending and self._pending[0][0] < place:
            at, position = self._pending.pop(0)
            token = position.token[max(dropped - at, 0) :]
            if at < dropped and not token:
                continue
            begins = begins if ready else max(at, dropped)
            ready.append(
                msgspec.structs.replace(position, token=token) if at < dropped else position
            )
        places = Places(self._start + begins - dropped)
        return legacy(ready, places.of("", [at.token for at in ready]), self._alternatives)


class Reader(Protocol):
    """Understands the payloads of one answer, one after the other."""

    whole: bool
    """The dialect's own end mark came."""

    def read(self, payload: bytes) -> Sequence[Event]: ...

    def finish(self) -> Sequence[Event]:
        """Raises unless the answer was whole."""
        ...


class EventStreamDecoder(BoundedEvents):
    """Server-sent events; feed and finish as base.Decoder says."""

    __slots__ = ("_reader",)

    def __init__(self, call: Call, reader: Reader) -> None:
        super().__init__(answer_bytes_max(call))
        self._reader = reader

    def feed(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        for payload in self._payloads(data):
            if self.whole:
                break
            events += self._reader.read(payload)
            self.whole = self._reader.whole
        return events

    def finish(self) -> Sequence[Event]:
        return self._reader.finish()


class JsonDecoder(BoundedBody):
    """One JSON body; all events come from finish."""

    __slots__ = ("_reader",)

    def __init__(self, call: Call, reader: Reader) -> None:
        super().__init__(answer_bytes_max(call))
        self._reader = reader

    def finish(self) -> Sequence[Event]:
        events = self._reader.read(self._body())
        return [*events, *self._reader.finish()]
