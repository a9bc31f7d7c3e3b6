"""What a running call has received so far: all that another upstream needs to go on from there.

Kept apart from what was sent to the caller: text may be held back (a possible stop), and a resumed
call starts from what the upstream generated, not from what was shown.
"""

from array import array

from baton.semantics.events import Delta

RECEIVED_BYTES_MAX = 1024 * 1024
"""Of one call, text and ids together: a longer answer cannot be handed over. 64 KiB of text is the
whole context of most models; the rest is for many choices."""


class Received:
    """Text and token ids of each choice, compact: about a byte a character, four an id."""

    __slots__ = ("_bytes", "_bytes_max", "_ids", "_texts", "resumable")

    def __init__(self, bytes_max: int = RECEIVED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._texts: dict[int, bytearray] = {}
        self._ids: dict[int, array[int]] = {}
        self.resumable = True
        """False once more came than is kept; then nothing is kept any more."""

    def add(self, delta: Delta) -> None:
        """Keep a delta's text and ids. An echoed prompt must not be added: it was not generated."""
        if not self.resumable:
            return
        text = delta.text.encode("utf-8")
        self._texts.setdefault(delta.index, bytearray()).extend(text)
        self._bytes += len(text)
        if delta.token_ids:
            self._ids.setdefault(delta.index, array("i")).extend(delta.token_ids)
            self._bytes += 4 * len(delta.token_ids)
        if self._bytes > self._bytes_max:
            self.resumable = False
            self._texts.clear()
            self._ids.clear()

    def text(self, index: int) -> str:
        """All text of a choice; only while `resumable`."""
        assert self.resumable, "what came is no longer kept"
        return self._texts.get(index, bytearray()).decode("utf-8")

    def token_ids(self, index: int) -> list[int]:
        """All ids of a choice, where the upstream tells them; only while `resumable`."""
        assert self.resumable, "what came is no longer kept"
        return list(self._ids.get(index, ()))
