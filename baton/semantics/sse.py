"""Server-sent events, both ways: an upstream's bytes to payloads, and one payload to an event.

Theory of operation. Lines end with LF, CR or CRLF; a blank line ends an event; of its lines only
`data` counts, and several of them are joined with LF. An unfinished line is kept in parts until its
end arrives, so that a long line in tiny pieces is copied once. An event that no blank line ended is
not complete and never given out.

Invariant: the payloads depend only on the concatenated bytes, never on their chunking.
"""

from collections.abc import Sequence

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """A line or the data of an event is larger than the decoder allows."""


def encode_event(payload: bytes) -> bytes:
    """One whole event. The payload must hold no line end (JSON of ours never does)."""
    return b"data: " + payload + b"\n\n"


class SseDecoder:
    """Feed it received bytes; it returns the `data` of each complete event.

    Events without data, or with an empty one (some servers keep connections alive so), are left
    out. Raises EventTooLarge when a line or an event exceeds `event_bytes_max`; what came before in
    the same feed is lost with it.
    """

    __slots__ = ("_after_cr", "_bytes", "_data", "_event_bytes_max", "_line", "_started")

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._line: list[bytes] = []  # parts of the unfinished line
        self._data: list[bytes] = []  # of the unfinished event
        self._bytes = 0  # of both
        self._after_cr = False
        self._started = False

    @property
    def pending(self) -> bool:
        """Whether a part of an event came whose end did not."""
        return self._bytes > 0

    @property
    def between(self) -> bool:
        """Whether an event ended last, so that a whole one may be taken without `feed`."""
        return self._started and not self._bytes and not self._after_cr and not self._data

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The payloads that are complete now."""
        if (
            not self._bytes
            and data[:6] == b"data: "
            and data[-2:] == b"\n\n"
            and len(data) <= self._event_bytes_max
            and b"\r" not in data
        ):  # the usual case: whole events, one line each
            if len(data) > 8 and data.find(b"\n") == len(data) - 2:
                self._started, self._after_cr = True, False
                return (data[6:-2],)
            payloads = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(payloads) and b"" not in payloads:
                self._started, self._after_cr = True, False
                return payloads
        return self._feed_lines(data) if data else ()

    def _feed_lines(self, data: bytes) -> list[bytes]:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        payloads: list[bytes] = []
        for piece in data.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            if self._bytes + len(line) > self._event_bytes_max:
                raise self._too_large()
            if len(line) == len(piece):
                self._line.append(line)
                self._bytes += len(line)
                continue
            if self._line:
                line = self._finished_line(line)
            payload = self._take(line)
            if payload:
                payloads.append(payload)
        return payloads

    def _finished_line(self, end: bytes) -> bytes:
        self._line.append(end)
        line = b"".join(self._line)
        self._bytes -= len(line) - len(end)
        self._line.clear()
        return line

    def _take(self, line: bytes) -> bytes | None:
        """Understand one whole line; returns the event's payload where the line ends it."""
        if not self._started:
            self._started = True
            line = line.removeprefix(BYTE_ORDER_MARK)
        if not line:
            payload = b"\n".join(self._data)
            self._data.clear()
            self._bytes = 0
            return payload
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._bytes += len(line)
        return None

    def _too_large(self) -> EventTooLarge:
        return EventTooLarge(f"an event of more than {self._event_bytes_max} bytes")
