"""The head of the completion that a connection sent last, so that the same head is not parsed anew.

Theory of operation. A client that keeps its connection sends one head after the other that differ
in nothing but the number behind `Content-Length` (all SDKs, editors and load balancers do). What
llhttp made of these bytes once holds for them again: the same method, path, headers and framing.
So a request is taken as the last one was where all of this is so, and by the parser otherwise:
- it begins with the same bytes up to that number, and goes on with the same bytes behind it;
- the number is digits alone, and its body is whole in the same read, with nothing behind it.
Nothing is guessed: bytes that differ in any other way are the parser's. This saves 9 calls out of
the parser and 350 bytecodes a request (docs/decisions/0022).
"""

import re

from baton.http.exchange import HeaderPair
from baton.http.paths import Where

HEAD_BYTES_MAX = 4096
"""Longer heads are parsed each time."""
LENGTH_DIGITS_MAX = 7
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_FRAMING = re.compile(
    rb"\r\n(transfer-encoding|connection|expect|upgrade|http2-settings|trailer|te):", re.IGNORECASE
)
"""Heads with any of these are looked at anew each time; `Connection: keep-alive` is taken out."""
_KEPT = re.compile(rb"\r\nconnection: *keep-alive(?=\r\n)", re.IGNORECASE)


class Usual:
    """A head that the parser has read, and what it made of it."""

    __slots__ = ("_after", "_before", "headers", "noted", "where")

    def __init__(
        self,
        before: bytes,
        after: bytes,
        headers: list[HeaderPair],
        noted: dict[bytes, bytes],
        where: Where,
    ) -> None:
        self._before, self._after = before, after
        self.headers, self.noted, self.where = headers, noted, where

    def body_of(self, data: bytes) -> bytes | None:
        """The body of a request that is whole and has this head; None of any other bytes."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r\n", start, start + LENGTH_DIGITS_MAX + 2)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        return body if len(body) == int(digits) else None


def usual(
    data: bytes, headers: list[HeaderPair], noted: dict[bytes, bytes], where: Where
) -> Usual | None:
    """What a whole request that came in one read says of those that will come; `headers`, `noted`
    and `where` as the parser found them. None where its head has to be read each time."""
    end = data.find(b"\r\n\r\n") + 4
    head = data[:end]
    if not 4 <= end <= HEAD_BYTES_MAX or not data.startswith(b"POST "):
        return None
    length = _LENGTH.search(head)
    if length is None or head.lower().count(b"content-length") != 1:
        return None
    if len(data) - end != int(length[1]):
        return None  # more than one request, or less
    if _FRAMING.search(_KEPT.sub(b"", head)):
        return None
    start, stop = length.span(1)
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    told = {name: value for name, value in noted.items() if name != b"content-length"}
    return Usual(head[:start], head[stop:], kept, told, where)
