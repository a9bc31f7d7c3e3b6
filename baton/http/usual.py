"""The head that a connection sent last, so that the same head is not parsed anew: of completions
that callers send, and of answers that upstreams give.

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
        start, after = self._start, self._after
        if not data.startswith(self._before):
            return None
        end = data.find(b"\r\n", start, start + LENGTH_DIGITS_MAX + 2)
        if end < 0 or not data.startswith(after, end):
            return None
        digits, body = data[start:end], data[end + len(after) :]
        return body if digits.isdigit() and len(body) == int(digits) else None

    def length_alone(self, data: bytes) -> int:
        """How long the body is that such a head promises, which came alone; 0 of all else."""
        start, stop = self._start, len(data) - len(self._after)
        if not (data.startswith(self._before) and data.endswith(self._after)):
            return 0
        digits = data[start:stop]
        return int(digits) if len(digits) <= LENGTH_DIGITS_MAX and digits.isdigit() else 0


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

    __slots__ = ("_first", "halved", "usual")

    def __init__(self) -> None:
        self.usual: Usual | None = None
        self.halved = b""
        """The usual head, which came alone: its body is awaited."""
        self._first = b""
        """A head that came alone and is to be learned."""

    def halves(self, data: bytes, body_bytes_max: int) -> bool:
        """Whether this is the usual head alone, as many clients send it, of a body that may be: the
        next bytes are to be `rejoined` with it."""
        if self.usual is None or not 0 < self.usual.length_alone(data) <= body_bytes_max:
            return False
        self.halved = data
        return True

    def rejoined(self, data: bytes) -> bytes:
        data, self.halved = self.halved + data, b""
        return data

    def learn(self, data: bytes, begun: Exchange, *, whole: bool) -> bool:
        """From a read that the head of `begun` was in, or its body in the next one; `whole`: so is
        its end. Returns whether that is all there is to learn."""
        data, self._first = self._first + data, b""
        if not whole and data.endswith(b"\r\n\r\n"):
            self._first = data
            return False
        if whole and not begun.http_1_0:
            self.usual = usual(data, begun.headers, begun.noted, begun.where) or self.usual
        return True


def usual(
    data: bytes, headers: list[HeaderPair], noted: dict[bytes, bytes], where: Where
) -> Usual | None:
    """What a whole request that came in one read says of those that will come; `headers`, `noted`
    and `where` as the parser found them. None where its head has to be read each time."""
    found = _framed(data) if data.startswith(b"POST ") else None
    if found is None:
        return None
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    told = {name: value for name, value in noted.items() if name != b"content-length"}
    return Usual(found, kept, told, where)


def framed(data: bytes) -> Framed | None:
    """What a whole message that came in one read says of those that will come. None where the head
    has to be read each time."""
    found = _framed(data)
    return None if found is None else Framed(*found)


def _framed(data: bytes) -> tuple[bytes, int, int] | None:
    """The head, and where in it the length stands."""
    end = data.find(b"\r\n\r\n") + 4
    head = data[:end]
    if not 4 <= end <= HEAD_BYTES_MAX:
        return None
    length = _LENGTH.search(head)
    if length is None or head.lower().count(b"content-length") != 1:
        return None
    if len(data) - end != int(length[1]):
        return None  # more than one message, or less
    if _FRAMING.search(_KEPT.sub(b"", head)):
        return None
    return head, *length.span(1)
