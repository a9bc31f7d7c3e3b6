"""What was refused, on its way into the book: a bounded part of it, however much there is.

Theory of operation. A refusal is answered first and noted then; noting waits for nothing. Refusals
are alike that have key, status and code in common. Within a minute, in one process, of those that
are alike the first `SINGLY_MAX` have a row each, and all others one row together, which tells how
many they were (`times`) and is the first of these in all else. A key has `KEY_ROWS_MAX` rows a
minute, as have all callers together that show none that is known, and a process has `ROWS_MAX`: who
tries a million keys takes eleven rows, and no row from anybody who is known. While the book is away
`WAITING_MAX` rows wait. What has no place is dropped, and counted as the rest is
(`Metrics.refusals`).

A row tells what the caller was told. It has nothing of a prompt: no message of ours quotes one, and
what quotes a field's number or a model's name is cut. What looks like a key is masked wherever it
stands, as callers write it into models and paths.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from baton.errors import RequestError
from baton.telemetry.metrics import Metrics

SINGLY_MAX = 10
"""An operator looks at a few of a kind; of a flood the number says more."""
KEY_ROWS_MAX = 100
ROWS_MAX = 300
"""Five a second: what the book takes beside all else without a thought."""
WAITING_MAX = 1_000
"""At most 4 KiB each, less than 1 by far the most: a few minutes of a book that is away."""
MINUTE_S = 60
NAME_CHARS_MAX = 200
"""Of a model, a route, a field."""
MESSAGE_CHARS_MAX = 500
CUT = "…"
BODY_BYTES_MAX = 64 * 1024
"""A longer body is not read for the model that it names: where a request is refused for its size or
rate, nobody has read it."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_KEY = re.compile(r"(sk-bt-|(?<![A-Za-z0-9-])sk-)[!-~]{6,}")
"""One of Baton's own also where it follows a word, as in no word `sk-bt-` is within."""
_MASKED = "sk-…"

Kind = tuple[str, int, str | None]


class Asked(NamedTuple):
    """What is known of a request that is refused, beside the error."""

    request_id: str
    route: str
    """Method and path."""
    model: str
    """As it was asked for; "" where nobody knows."""


class Refusal(msgspec.Struct, kw_only=True):
    """One refused request, or the first of several that are alike."""

    request_id: str
    at_us: int
    """Since 1970."""
    key_id: str
    """"" where no key was shown that is known."""
    route: str
    model: str
    status: int
    code: str | None
    param: str | None
    message: str
    """What the caller was told."""
    times: int = 1


class _Named(msgspec.Struct):
    model: str = ""


_NAMED = msgspec.json.Decoder(_Named)


class Refusals:
    """What one process has refused and not written yet. Owned by its loop."""

    def __init__(
        self, metrics: Metrics, *, kept: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        """`kept`: whether anything is. `clock` gives seconds since 1970."""
        self._metrics, self._kept, self._clock = metrics, kept, clock
        self._minute = 0
        self._rows = 0
        """Of this minute, as in the next ones."""
        self._rows_of: Counter[str] = Counter()
        self._singly: Counter[Kind] = Counter()
        self._sums: dict[Kind, Refusal] = {}
        self._due: list[Refusal] = []

    def note(self, key_id: str, error: RequestError, asked: Callable[[], Asked]) -> None:
        """That a request was refused. `asked` is called only where it has a row."""
        if not self._kept:
            return
        now_s = self._clock()
        self._turn(now_s)
        key_id = key_id or error.key_id
        kind = key_id, error.status, error.code
        summed = self._sums.get(kind)
        if summed is not None:
            summed.times += 1
            return self._metrics.refusal_ended("summed")
        if not self._has_place(key_id):
            return self._metrics.refusal_ended("dropped")
        self._rows += 1
        self._rows_of[key_id] += 1
        row = _row(key_id, error, asked(), now_s)
        if self._singly[kind] < SINGLY_MAX:
            self._singly[kind] += 1
            self._due.append(row)
        else:
            self._sums[kind] = row
        return self._metrics.refusal_ended("kept")

    def due(self, at_most: int, *, all_of_them: bool = False) -> Sequence[Refusal]:
        """The oldest rows that change no more: those that sum up are due when their minute is over,
        or `all_of_them` are. They stay until it is told that they are `done`."""
        self._turn(self._clock())
        if all_of_them:
            self._end_sums()
        return self._due[:at_most]

    def done(self, rows: int) -> None:
        """The first so many of those that are due are written, or given up."""
        del self._due[:rows]

    def gave_way(self, rows: Sequence[Refusal]) -> None:
        """These are given up."""
        self._metrics.refusal_ended("dropped", len(rows))

    def _has_place(self, key_id: str) -> bool:
        waiting = len(self._due) + len(self._sums)
        fits = self._rows < ROWS_MAX and waiting < WAITING_MAX
        return fits and self._rows_of[key_id] < KEY_ROWS_MAX

    def _turn(self, now_s: float) -> None:
        minute = int(now_s // MINUTE_S)
        if minute != self._minute:
            self._minute, self._rows = minute, 0
            self._rows_of.clear()
            self._end_sums()

    def _end_sums(self) -> None:
        self._due += self._sums.values()
        self._sums.clear()
        self._singly.clear()


def _row(key_id: str, error: RequestError, asked: Asked, now_s: float) -> Refusal:
    return Refusal(
        request_id=asked.request_id,
        at_us=round(now_s * 1e6),
        key_id=key_id,
        route=shown(asked.route, NAME_CHARS_MAX),
        model=shown(asked.model, NAME_CHARS_MAX),
        status=error.status,
        code=error.code,
        param=None if error.param is None else shown(error.param, NAME_CHARS_MAX),
        message=shown(error.message, MESSAGE_CHARS_MAX),
    )


def shown(text: str, chars_max: int) -> str:
    """A text that a caller may have written, as it may be kept: one line, short, without a key."""
    text = _KEY.sub(_MASKED, _UNPRINTABLE.sub(" ", text[: 2 * chars_max]))
    return text if len(text) <= chars_max else text[: chars_max - 1] + CUT


def model_in(body: bytes) -> str:
    """The model that a body names which nobody has decoded; "" where it is long, or no request."""
    if len(body) > BODY_BYTES_MAX:
        return ""
    try:
        return _NAMED.decode(body).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
