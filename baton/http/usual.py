"""The head that a connection sent last, so that the same head is not parsed anew: of completions
that callers send, and of answers that upstreams give.

Theory of operation. A client that keeps its connection sends one head after the other that differ
in nothing but the number behind `Content-Length` (all SDKs, editors and load balancers do). What
llhttp made of these bytes once holds for them again: the same method, path, headers and framing.
So a request is taken as the last one was where all of this is so, and by the parser otherwise:
- it begins with the same bytes up to that number, and goes on with the same bytes behind it;
- the number is digits alone, and nothing stands behind its body. A body of which some is still to
  come is received in its place (`long_body.py`), or with the head where that came alone.
Nothing is guessed: bytes that differ in any other way are the parser's. This saves 9 calls out of
the parser and 350 bytecodes a request (docs/decisions/0022).
"""

import re

from baton.http.exchange import Exchange, HeaderPair
from baton.http.paths import PLAIN, Where

HEAD_BYTES_MAX = 4096
"""Longer heads are parsed each time."""
LENGTH_DIGITS_MAX = 7
PATIENCE = 8
"""Answers with another head each, after which none is learned any more."""
ONLY_A_KEY = frozenset((b"authorization",))
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_FRAMING = re.compile(
    rb"\r\n(transfer-encoding|connection|expect|upgrade|http2-settings|trailer|te):", re.IGNORECASE
)
"""Heads with any of these are looked at anew each time; `Connection: keep-alive` is taken out."""
_KEPT = re.compile(rb"\r\nconnection: *keep-alive(?=\r\n)", re.IGNORECASE)


class Framed:
    """A head, of whatever direction, that a parser has read: its body is as long as it says."""

    __slots__ = ("_after", "_before", "_start")

    def __init__(self, head: bytes, start: int, stop: int) -> None:
        """From `start` to `stop` stand the digits of the length."""
        self._before, self._start, self._after = head[:start], start, head[stop:]

    def body_of(self, data: bytes) -> bytes | None:
        """The body of a message that is whole and has this head; None of any other bytes."""
        length, begin = self.promised(data)
        return data[begin:] if begin and len(data) - begin == length else None

    def promised(self, data: bytes) -> tuple[int, int]:
        """How long the body is that such a head promises, and where it begins, which here it may
        not do yet; two zeros of all else."""
        start, after = self._start, self._after
        end = data.find(b"\r\n", start, start + LENGTH_DIGITS_MAX + 2)
        if end < 0 or not data.startswith(self._before) or not data.startswith(after, end):
            return 0, 0
        digits = data[start:end]
        return (int(digits), end + len(after)) if digits.isdigit() else (0, 0)


class Usual(Framed):
    """A request's head that the parser has read, and what it made of it."""

    __slots__ = ("headers", "noted", "plain", "where")

    def __init__(
        self,
        framed: tuple[bytes, int, int],
        headers: list[HeaderPair],
        noted: dict[bytes, bytes],
        where: Where,
    ) -> None:
        super().__init__(*framed)
        self.headers, self.noted, self.where = headers, noted, where
        self.plain = where == PLAIN and noted.keys() == ONLY_A_KEY
        """Whether it says no more than where to, and whose key it is."""


class UsualAnswers:
    """The head of the last answer of an upstream that came whole in one read.

    Where each answer's head is another one, learning them is given up after a few."""

    __slots__ = ("_framed", "_patience", "folded", "head")

    def __init__(self) -> None:
        self._framed: Framed | None = None
        self._patience = PATIENCE
        self.head = self.folded = b""

    def body_of(self, data: bytes) -> bytes | None:
        """The body of an answer with that head; None of any other."""
        if self._framed is None:
            return None
        body = self._framed.body_of(data)
        if body is not None:
            self._patience = PATIENCE
        return body

    def learn(self, data: bytes, head: bytes, folded: bytes) -> None:
        """An answer of status 200, with nothing behind it, on a connection that stays."""
        found = framed(data) if self._patience else None
        if found is not None:
            self._patience -= 1
            self._framed = found
            self.head, self.folded = head, folded


class Heads:
    """The head that a connection's requests have, learned from one for the next."""

    __slots__ = ("halved", "usual")

    def __init__(self) -> None:
        self.usual: Usual | None = None
        self.halved = b""
        """The usual head, whose body is awaited."""

    def rejoined(self, data: bytes) -> bytes:
        data, self.halved = self.halved + data, b""
        return data

    def learn(self, data: bytes, begun: Exchange) -> None:
        """From the bytes that the request of `begun` began with: its head, and what came of its
        body."""
        if not begun.http_1_0:
            self.usual = usual(data, begun.headers, begun.noted, begun.where) or self.usual


def usual(
    data: bytes, headers: list[HeaderPair], noted: dict[bytes, bytes], where: Where
) -> Usual | None:
    """What the begin of a request, at least its head, says of those that will come; `headers`,
    `noted` and `where` as the parser found them. None where its head has to be read each time, or
    more than the request came."""
    found = _framed(data) if data.startswith(b"POST ") else None
    if found is None:
        return None
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    told = {name: value for name, value in noted.items() if name != b"content-length"}
    return Usual(found, kept, told, where)


def framed(data: bytes) -> Framed | None:
    """What a whole message that came in one read says of those that will come. None where the head
    has to be read each time."""
    found = _framed(data, whole=True)
    return None if found is None else Framed(*found)


def _framed(data: bytes, *, whole: bool = False) -> tuple[bytes, int, int] | None:
    """The head, and where in it the length stands."""
    end = data.find(b"\r\n\r\n") + 4
    head = data[:end]
    if not 4 <= end <= HEAD_BYTES_MAX:
        return None
    length = _LENGTH.search(head)
    if length is None or head.lower().count(b"content-length") != 1:
        return None
    missing = int(length[1]) - (len(data) - end)
    if missing < 0 or (missing and whole):
        return None  # more than one message, or less
    if _FRAMING.search(_KEPT.sub(b"", head)):
        return None
    return head, *length.span(1)
