"""Reads of a stream that are a text, or a few, and nothing else: as by far the most are.

Theory of operation. A server writes one event after the other, each in an HTTP chunk of its own,
that differ in nothing but their text and, by that, in their length. So what stood around the text
of one is remembered (`around`), and a read of the same length that begins and ends with the same
bytes, and has the JSON of a text between them, is that event with another text. This is no guess:
it was tried that what stands in that place is what the decoder finds. It spares a regular
expression and most of the JSON.

Any other read is looked at as HTTP, as events and as JSON; one that is anything but texts is left
to those who know all of these: llhttp, `SseDecoder`, `StreamDecoder`.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from baton.upstreams.framing import UNREADABLE, too_much

ONE_EVENT = re.compile(rb"([0-9A-Fa-f]{1,6})\r\ndata: (\{[^\r\n]*\})\n\n\r\n")
"""One HTTP chunk (RFC 9112, 7.1, without extensions) that is one event of one line of JSON."""
EVENT_FRAME_BYTES = len(b"data: \n\n")
LENGTHS_MAX = 16
"""Of events, by which one is known again: most tokens have no more bytes than that."""
EVENT_BYTES_MAX = 1024
"""Longer ones are not remembered: a stream has `LENGTHS_MAX` of them at most."""
PATIENCE = 32
"""Events with something else around their texts each, after which none is remembered any more. A
server that writes the second into every event has as many in as many seconds."""

TakeRead = Callable[[bytes], bool | None]
"""Is given what one read brought, where that begins between two HTTP chunks. Says whether it is to
go on so, or None where that is not for it, and then it is as if it had not come."""


class TextChoice(msgspec.Struct):
    """A choice that runs on, and is a text alone."""

    index: Literal[0]
    text: Annotated[str, Meta(min_length=1)]
    finish_reason: None = None
    token_ids: None = None


class TextChunk(msgspec.Struct):
    """By far the most chunks of a stream: its types say that nothing else is in it."""

    choices: Annotated[list[TextChoice], Meta(min_length=1, max_length=1)]
    usage: None = None
    error: None = None


class Decoding(Protocol):
    """The decoder in whose place texts are taken."""

    bytes_left: int
    """That the answer may still have."""
    fed: bool
    """Whether it was given anything since it was last asked."""

    def between(self) -> bool:
        """Whether an event may begin here, and be a text of a choice that runs. Resets `fed`."""
        ...


_decode = msgspec.json.Decoder(TextChunk).decode
_decode_text = msgspec.json.Decoder(str).decode
_TEXT = re.compile(rb'"text": ?("(?:[^"\\]|\\.)*")', re.DOTALL)


def payloads(data: bytes) -> list[bytes]:
    """The JSON of events, each in a chunk of its own; none where there is anything else."""
    found: list[bytes] = []
    place = 0
    while place < len(data):
        event = ONE_EVENT.match(data, place)
        if event is None:
            return []
        digits, payload = event.groups()
        if int(digits, 16) != len(payload) + EVENT_FRAME_BYTES:
            return []
        found.append(payload)
        place = event.end()
    return found


def around(payload: bytes, text: str) -> tuple[bytes, bytes] | None:
    """What stands before and behind the text of an event, with its quotes, if whatever stands there
    in its place is its text: it is tried with another one."""
    found = _TEXT.search(payload)
    if found is None:
        return None
    begin, end = found.span(1)
    other = text + "."
    try:
        told = _decode_text(payload[begin:end])
        tried = _decode(payload[:begin] + msgspec.json.encode(other) + payload[end:])
    except UNREADABLE:
        return None
    usual = told == text and tried.choices[0].text == other
    return (payload[: begin + 1], payload[end - 1 :]) if usual else None


class _Texts:
    """Reads that are known by nothing yet; and what stood around the texts of others."""

    def __init__(
        self, decoder: Decoding, keep: Callable[[str], None], give: Callable[[str], bool]
    ) -> None:
        self._decoder, self._keep, self._give = decoder, keep, give
        self.heads: dict[int, bytes] = {}
        """By the length of a chunk, what it begins with up to its text. An empty one is shorter."""
        self.tail, self.tail_bytes = b"", 0
        self._before, self._patience = b"", PATIENCE

    def read(self, data: bytes) -> bool | None:
        """As `TakeRead` says."""
        decoder = self._decoder
        if decoder.fed and not decoder.between():
            return None
        found = payloads(data)
        if not found:
            return None
        try:
            texts = [_decode(payload).choices[0].text for payload in found]
        except UNREADABLE:
            return None
        if len(found) == 1 and len(data) <= EVENT_BYTES_MAX:
            self._learn(data, found[0], texts[0])
        decoder.bytes_left -= len(data)
        if decoder.bytes_left < 0:
            raise too_much()
        goes_on = True
        for text in texts:
            self._keep(text)
            goes_on = self._give(text)
        return goes_on

    def _learn(self, chunk: bytes, payload: bytes, text: str) -> None:
        """From a chunk that is this event alone."""
        usual = payload.startswith(self._before) and chunk.endswith(self.tail)
        if not (self.tail and usual):
            if not self._patience:
                return
            self._patience -= 1
            self.heads.clear()
            self._before, behind = around(payload, text) or (b"", b"")
            self.tail = behind + b"\n\n\r\n" if behind else b""
            self.tail_bytes = len(self.tail)
        if self.tail and len(self.heads) < LENGTHS_MAX:
            frame = chunk[: chunk.index(b"\n") + 1]
            self.heads[len(chunk)] = b"%bdata: %b" % (frame, self._before)


def text_taker(
    decoder: Decoding, keep: Callable[[str], None], give: Callable[[str], bool]
) -> TakeRead:
    """Who takes reads that are texts and nothing else: those are kept and given, and what `give`
    says is returned. Raises UpstreamError beyond the decoder's bytes."""
    others = _Texts(decoder, keep, give)
    heads, read = others.heads, others.read

    def take(data: bytes) -> bool | None:
        size = len(data)
        head = heads.get(size)
        if head is None or not (data.startswith(head) and data.endswith(others.tail)):
            return read(data)
        try:
            text = _decode_text(b'"%b"' % data[len(head) : -others.tail_bytes])
        except UNREADABLE:
            return None
        if decoder.fed:
            return read(data)
        decoder.bytes_left -= size
        if decoder.bytes_left < 0:
            raise too_much()
        keep(text)
        return give(text)

    return take
