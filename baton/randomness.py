"""Random bytes for request ids and choices of an upstream, many at a time."""

import os


class Randomness:
    """Bytes from the system's generator, drawn in bulk: a call a request costs 2 µs, and 100 more
    when another thread takes the interpreter meanwhile."""

    BYTES = 12
    BULK_BYTES = 4096 * BYTES

    def __init__(self) -> None:
        self._bulk, self._at = b"", 0

    def take(self) -> bytes:
        """`BYTES` bytes that nobody was given before."""
        at = self._at
        if at >= len(self._bulk):
            self._bulk, at = os.urandom(self.BULK_BYTES), 0
        self._at = after = at + self.BYTES
        return self._bulk[at:after]

    def number(self) -> int:
        """32 bits of them."""
        return int.from_bytes(self.take()[:4])
