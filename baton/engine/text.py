"""From the bytes of tokens to text that may be shown, with the logprob entries that belong to it.
Pure.

Theory of operation. A token is some bytes: perhaps half a character, perhaps the beginning of a
stop string. `TextOut` takes the tokens of one choice in order and gives out text as soon as it is
certain to be seen: whole characters only, and nothing that may turn out to be a stop. An entry (a
token's logprobs) goes out with the text that its token ends in; what a stop cuts away takes its
entries with it. Offsets count code points from the start of the prompt; a token that continues a
character has the offset of that character.

Invariant: joined, the texts given out are what decoding all bytes at once, without an unfinished
character at the end, and cutting at the stop would give."""

import codecs
from collections.abc import Sequence

import msgspec

from baton.semantics.events import Logprobs
from baton.semantics.stop import StopMatcher

_UTF8 = codecs.getincrementaldecoder("utf-8")


class Entry(msgspec.Struct):
    """One token's place in `Logprobs`. `end` is the code point at which its text is whole."""

    token: str
    logprob: float | None
    top: dict[str, float] | None
    start: int = 0
    end: int = 0


def as_logprobs(entries: Sequence[Entry]) -> Logprobs:
    return Logprobs(
        [entry.token for entry in entries],
        [entry.logprob for entry in entries],
        [entry.top for entry in entries],
        [entry.start for entry in entries],
    )


def split_tail(data: bytes) -> tuple[str, bytes]:
    """Text of the bytes without an unfinished character at their end, and that character's
    bytes."""
    decoder = _UTF8("replace")
    text = decoder.decode(data)
    return text, decoder.getstate()[0]


def offsets(pieces: Sequence[bytes]) -> list[int]:
    """At which code point each piece begins."""
    decoder, at, found = _UTF8("replace"), 0, []
    for piece in pieces:
        found.append(at)
        at += len(decoder.decode(piece))
    return found


class TextOut:
    """The visible text of one choice. `start`: code points before it; `tail`: the unfinished
    character that the prompt ended in, which the first tokens may complete."""

    __slots__ = ("_decoded", "_decoder", "_entries", "_matcher", "_shown")

    def __init__(self, stops: Sequence[str], start: int = 0, tail: bytes = b"") -> None:
        self._decoder = _UTF8("replace")
        self._decoder.decode(tail)
        self._matcher = StopMatcher(stops)
        self._decoded = self._shown = start
        self._entries: list[Entry] = []

    @property
    def length(self) -> int:
        """Code points from the start of the prompt to the end of all that was decoded."""
        return self._decoded

    @property
    def stopped(self) -> bool:
        """A stop string is complete: nothing more will be shown."""
        return self._matcher.matched is not None

    def feed(self, piece: bytes, entry: Entry | None) -> tuple[str, list[Entry]]:
        """Text and entries that are certain now."""
        start, text = self._decoded, self._decoder.decode(piece)
        self._decoded += len(text)
        if entry is not None:
            entry.start = start
            entry.end = self._decoded + bool(self._decoder.getstate()[0])
            self._entries.append(entry)
        return self._show(self._matcher.feed(text))

    def finish(self) -> tuple[str, list[Entry]]:
        """The rest, when generation ended otherwise than by a stop string.

        A character that max_tokens cut in two is not shown: U+FFFD would be a character that the
        model never wrote. Its tokens keep their entries, and count."""
        held = self._matcher.finish()
        self._shown += len(held)
        remaining, self._entries = self._entries, []
        return held, remaining

    def _show(self, text: str) -> tuple[str, list[Entry]]:
        self._shown += len(text)
        if self.stopped:
            seen = [entry for entry in self._entries if entry.start < self._shown]
            self._entries = []
            return text, seen
        whole = next(
            (at for at, entry in enumerate(self._entries) if entry.end > self._shown),
            len(self._entries),
        )
        seen, self._entries = self._entries[:whole], self._entries[whole:]
        return text, seen
