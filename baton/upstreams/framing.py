"""The bytes of an answer as payloads, within what the call can explain. The base of decoders."""

from collections.abc import Sequence

import msgspec

from baton.semantics.events import Call, Event
from baton.semantics.sse import EventTooLarge, SseDecoder
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding JSON raises."""
ANSWER_BYTES_BASE = 1024 * 1024
TOKEN_BYTES_MAX = 2048
"""Of one generated token on the wire: its event, its text (escaped), its id."""
ALTERNATIVE_BYTES_MAX = 512
"""Of one alternative in logprobs, in the chat shape with its bytes."""


class BoundedEvents:
    """Server-sent events of an answer of at most `bytes_max` bytes."""

    media_type = b"text/event-stream"
    __slots__ = ("_sse", "bytes_left", "whole")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_left, self._sse = bytes_max, SseDecoder(bytes_max)
        self.whole = False

    def _payloads(self, data: bytes) -> Sequence[bytes]:
        """Those that are complete now. Raises UpstreamError beyond the bytes."""
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
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


def answer_bytes_max(call: Call) -> int:
    """The most bytes that an honest answer to this call may have."""
    if call.logprobs is None and not call.scored and not call.echo:
        return ANSWER_BYTES_BASE + call.n * len(call.prompts) * call.max_tokens * TOKEN_BYTES_MAX
    alternatives = 0 if call.logprobs is None and not call.scored else (call.logprobs or 0) + 2
    token_bytes = TOKEN_BYTES_MAX + alternatives * ALTERNATIVE_BYTES_MAX
    echoed = sum(len(prompt) for prompt in call.prompts) if call.echo else 0
    echo_bytes = (8 + alternatives * ALTERNATIVE_BYTES_MAX) * echoed
    return ANSWER_BYTES_BASE + call.n * (
        len(call.prompts) * call.max_tokens * token_bytes + echo_bytes
    )
