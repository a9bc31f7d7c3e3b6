"""Frames of the engine's protocol: a length and a message each, cut out of any chunking of the
bytes. Pure."""

from collections.abc import Iterator

from baton.engine.wire import FRAME_BYTES_MAX, HEADER


class FrameError(Exception):
    """The other side does not speak this protocol."""


class FrameReader:
    """Feed it what arrives; it gives the bodies of whole frames.

    A body is copied once. A frame that grows over many chunks is joined once, when it is whole."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held = 0
        self._wanted = HEADER.size

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Bodies that are complete now. Raises FrameError for a frame beyond the limit."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return
        joined, at = b"".join(self._chunks), 0
        while True:
            self._wanted = HEADER.size
            if len(joined) - at >= HEADER.size:
                (length,) = HEADER.unpack_from(joined, at)
                if length > FRAME_BYTES_MAX:
                    raise FrameError(f"a frame of {length} bytes")
                self._wanted += length
            if len(joined) - at < self._wanted:
                break
            yield joined[at + HEADER.size : at + self._wanted]
            at += self._wanted
        self._chunks, self._held = [joined[at:]], len(joined) - at
