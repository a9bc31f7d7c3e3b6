"""StopMatcher: cut text at the first stop sequence, however it was chunked.

Theory of operation. Generation ends with the character that completes any stop sequence; the text
is cut where that stop begins. Of stops that complete on the same character the one that begins
first (the longest) counts, so that no part of it is returned; of stops that begin at one place the
shortest counts, because it completes first. So a stop is decided the moment it is complete: no
further token is needed to know the answer, and an upstream that knows the stops itself ends at the
same place.

Between two feeds only the longest end of the text that is a proper beginning of a stop is held
back: any stop that is not complete yet must begin inside it. A feed looks at what was held and at
the new text, never at more: its cost does not grow with the length of the answer.

Invariant: the text returned and the stop named depend only on the concatenated input, never on its
chunking; what was returned is never taken back.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence


class StopMatcher:
    """Feed it the generated text of one choice; it returns what may be sent.

    `matched` is the stop that ended the text, once one is complete.
    """

    __slots__ = ("_first", "_held", "_held_max", "_stops", "matched")

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops), "an empty stop sequence would match everywhere"
        # Sorted, so that one bisection tells whether a text is the beginning of any stop.
        self._stops = sorted(set(stops))
        self._held_max = max(map(len, stops), default=1) - 1
        self._held = ""
        letters = "".join(sorted({re.escape(stop[0]) for stop in stops}))
        # Without stops nothing may match: an empty class is not valid, `(?!)` never matches.
        self._first = re.compile(f"[{letters}]" if letters else "(?!)")
        self.matched: str | None = None

    @property
    def held(self) -> str:
        """Received, but not returned yet: it may be the beginning of a stop."""
        return self._held

    def feed(self, text: str) -> str:
        """Return the text that is now safe to send; after a match, nothing more."""
        if self.matched is not None:
            return ""
        if not self._held and self._first.search(text) is None:
            return text
        text = self._held + text
        found = self._first_complete(text)
        if found is not None:
            at, self.matched = found
            self._held = ""
            return text[:at]
        at = self._pending_from(text)
        self._held = text[at:]
        return text[:at]

    def finish(self) -> str:
        """Release what was held: the text ended before any stop was complete."""
        held, self._held = self._held, ""
        return held

    def _first_complete(self, text: str) -> tuple[int, str] | None:
        """The stop that completes first, and where it begins."""
        hits = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if not hits:
            return None
        _, at, stop = min(hits)
        return at, stop

    def _pending_from(self, text: str) -> int:
        """Where the longest end of `text` that is a proper beginning of a stop starts."""
        for letter in self._first.finditer(text, max(0, len(text) - self._held_max)):
            tail = text[letter.start() :]
            nearest = bisect_left(self._stops, tail)
            if nearest < len(self._stops) and self._stops[nearest].startswith(tail):
                return letter.start()
        return len(text)


def hints(stops: Sequence[str], most: int) -> list[str]:
    """Up to so many stops that an upstream may be told, though others are matched here.

    It ends a text at one of these without a word of what came between its beginning and its end:
    so none is told before whose last character another could be complete, or that ends another.
    The first ones go first.
    """
    safe = [
        stop
        for stop in dict.fromkeys(stops)
        if not any(
            other[-1] in stop[:-1] or other.endswith(stop) for other in stops if other != stop
        )
    ]
    return safe[:most]
