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
_CONTROLS = re.compile("[\x80-\x9f]")
STRAY_MAX = 4
"""So many code points of a text may have no name; the name behind them is found all the same."""
PART_BYTES_MAX = 64
"""Bytes that are no character by then will be none."""


def name_of(piece: bytes) -> str:
    """A token's name: its text, or `bytes:\\xe4\\xb8` where it is no whole character."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return part_name(piece)


def is_part(name: str) -> bool:
    """Whether it is the name of a token that is no whole character."""
    return _BYTES.fullmatch(name) is not None


def part_name(part: bytes) -> str:
    """The name of a token that is these bytes and no whole character."""
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in part)


class Letters:
    """Of one choice of a server that names such a token by a letter of Latin-1 for each byte
    (SGLang does): tells those names from letters, by the text that they are in or not in."""

    __slots__ = ("_part",)

    def __init__(self) -> None:
        self._part = b""
        """What is named of a character that is not yet whole."""

    def named(self, text: str, names: Sequence[str]) -> list[str]:
        """The names of the tokens that came with `text`, those of parts as they are elsewhere."""
        at, found = 0, []
        for name in names:
            part = _lettered(name)
            stray = STRAY_MAX if part is None else 0 if _CONTROLS.search(name) else 1
            place = text.find(name, at, at + len(name) + stray)
            if part is None or (place >= 0 and not self._part):
                self._part = b""
                at = place + len(name) if place >= 0 else at
                found.append(name)
                continue
            found.append(part_name(part))
            self._part += part
            whole = _whole(self._part)
            if whole or len(self._part) >= PART_BYTES_MAX:
                self._part = b""
            place = text.find(whole, at, at + len(whole) + STRAY_MAX) if whole else -1
            at = place + len(whole) if place >= 0 else at
        return found


def other_name(name: str) -> str:
    """Of an alternative, which no text shows: a control of Latin-1 is a byte, a letter a letter."""
    part = _lettered(name)
    return name if part is None or not _CONTROLS.search(name) else part_name(part)


def _lettered(name: str) -> bytes | None:
    """The bytes of a name that may be one of a part; None where it is none."""
    if name.isascii():
        return None
    try:
        part = name.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return part if not _whole(part) else None


def _whole(part: bytes) -> str:
    """The text of bytes that are whole characters; nothing where they are not."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return ""


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
