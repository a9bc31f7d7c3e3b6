"""Where tokens begin in the text of a choice, told by their names alone.

Theory of operation. Servers send a text and the names of its tokens, which mostly are the text. Not
always: a special token has a name and no text; half a character is named by its bytes; a server
that holds text back, as it may become a stop, names its tokens before, or a token once all of it is
shown. So names are laid along the text: one that is found in it takes its room, one that goes
beyond it waits for the text that is still to come, and one that the text denies has none.
Offsets that servers tell are of no use here: some count other units, or from another beginning, or
the names.
"""

import codecs
import re
from collections.abc import Sequence

_UTF8 = codecs.getincrementaldecoder("utf-8")
_BYTES = re.compile(r"bytes:((?:\\x[0-9a-f]{2})+)")
"""How OpenAI, and Baton, write a token that is no whole character."""


def name_of(piece: bytes) -> str:
    """A token's name: its text, or `bytes:\\xe4\\xb8` where it is no whole character."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def is_part(name: str) -> bool:
    """Whether it is the name of a token that is no whole character."""
    return _BYTES.fullmatch(name) is not None


class Places:
    """Of one choice, whose text begins at the code point `start`. Feed it delta by delta."""

    __slots__ = ("_ahead", "_decoder", "_unnamed", "end")

    def __init__(self, start: int) -> None:
        self.end = start
        """Where the text that came so far ends."""
        self._decoder = _UTF8("replace")
        self._ahead = ""
        """What was named and has not come as text."""
        self._unnamed = ""
        """What came as text and has not been named."""

    def of(self, text: str, names: Sequence[str]) -> list[int]:
        """Where each of these tokens, which came with `text`, begins. One that continues a
        character begins where that does."""
        self.end += len(text)
        came, text = len(self._unnamed), self._unnamed + text
        begin, at, missed, found = self.end - len(text), self._met(text), 0, []
        for name in names:
            piece = self._piece(name)
            if at < came and not _fits(piece, text, at):
                at = came  # what was before this delta has no name
            if missed and at < len(text):  # what had no text is over where a name is found again
                at = max(at, text.find(piece, at, at + 2 * missed + len(piece)))
            found.append(begin + at + len(self._ahead))
            if at == len(text):
                self._ahead += piece
            elif _fits(piece, text, at):
                self._ahead = piece[len(text) - at :]
                at, missed = min(at + len(piece), len(text)), 0 if piece else missed
            else:
                missed += len(piece)
        self._unnamed = text[at:]
        return found

    def _met(self, text: str) -> int:
        """How much of `text` was named before it came."""
        ahead, self._ahead = self._ahead, ""
        if text.startswith(ahead):
            return len(ahead)
        if ahead.startswith(text):
            self._ahead = ahead[len(text) :]
            return len(text)
        return 0

    def _piece(self, name: str) -> str:
        """The text that a token adds, by its name; a stray half of a character is one of its
        own."""
        part = _BYTES.fullmatch(name)
        if part is not None:
            return self._decoder.decode(bytes.fromhex(part[1].replace("\\x", "")))
        return self._decoder.decode(name.encode("utf-8", "replace"))


def _fits(piece: str, text: str, at: int) -> bool:
    """Whether the text goes on with this, as far as it goes."""
    return piece.startswith(text[at : at + len(piece)])
