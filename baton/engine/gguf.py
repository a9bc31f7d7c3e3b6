"""The frame of a GGUF file: what stands before its tensors, and where each of them lies. Pure.

A file is a head (magic, version, counts), metadata as key, type and value, then a table of the
tensors, then their data from the next multiple of the alignment on. Numbers are little-endian. Only
version 3 is read, and of the metadata only what is needed to write the file again."""

import struct
from collections.abc import Iterator, Mapping

import msgspec

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT_DEFAULT = 32
STRING, ARRAY = 8, 9
SIZES_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Of metadata values, by their type."""

BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24),
    8: (32, 34), 9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176),
    14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50),
    20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Weights and bytes of a block, by ggml's number of its format."""


class GgufError(Exception):
    """Not a GGUF file of the kind that is read here."""


class Tensor(msgspec.Struct, frozen=True):
    name: bytes
    shape: tuple[int, ...]
    kind: int
    """ggml's number of the format of its weights."""
    offset: int
    """Bytes from the start of the data."""

    @property
    def weights(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes_min(self) -> int:
        """Of its weights; 1 where this version does not know their format."""
        weights, size = BLOCKS.get(self.kind, (0, 0))
        return -(-self.weights // weights) * size if weights else 1


class Frame(msgspec.Struct, frozen=True):
    metadata_end: int
    """Bytes from the start of the file to the table of tensors."""
    file_kind_at: int | None
    """Where the value of `general.file_type` stands."""
    alignment: int
    tensors: list[Tensor]
    data_start: int

    @property
    def bytes_min(self) -> int:
        """Of the whole file, at the least: the padding at its end may be missing."""
        ends = (tensor.offset + tensor.bytes_min for tensor in self.tensors)
        return self.data_start + max(ends, default=0)


def padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


class _Cursor:
    """Reads on from where it stands."""

    def __init__(self, data: memoryview) -> None:
        self._data, self.at = data, 0

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self.at)
        self.at += struct.calcsize(layout)
        return int(value)

    def text(self) -> bytes:
        length = self.number("<Q")
        self.at += length
        return bytes(self._data[self.at - length : self.at])

    def skip(self, kind: int) -> None:
        """A metadata value."""
        if kind == STRING:
            self.text()
        elif kind != ARRAY:
            self.at += SIZES_BYTES[kind]
        else:
            of, count = self.number("<I"), self.number("<Q")
            if of == STRING:
                for _ in range(count):
                    self.text()
            else:
                self.at += SIZES_BYTES[of] * count


def frame(data: memoryview) -> Frame:
    """The frame of a file's content. Raises GgufError."""
    try:
        return _frame(_Cursor(data), data)
    except (struct.error, KeyError, IndexError, OverflowError) as error:
        raise GgufError("the file is cut, or no GGUF file") from error


def _frame(cursor: _Cursor, data: memoryview) -> Frame:
    magic, version = bytes(data[:4]), 0
    if magic == MAGIC:
        cursor.at = len(MAGIC)
        version = cursor.number("<I")
    if version != VERSION:
        raise GgufError(f"not a GGUF file of version {VERSION}")
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    alignment, file_kind_at = ALIGNMENT_DEFAULT, None
    for _ in range(pairs):
        key, kind = cursor.text(), cursor.number("<I")
        if key == b"general.alignment":
            (alignment,) = struct.unpack_from("<I", data, cursor.at)
            if alignment < 1:
                raise GgufError("an alignment of 0")
        elif key == b"general.file_type":
            file_kind_at = cursor.at
        cursor.skip(kind)
    metadata_end = cursor.at
    table = list(_table(cursor, tensors))
    return Frame(metadata_end, file_kind_at, alignment, table, padded(cursor.at, alignment))


def _table(cursor: _Cursor, count: int) -> Iterator[Tensor]:
    for _ in range(count):
        name = cursor.text()
        shape = tuple(cursor.number("<Q") for _ in range(cursor.number("<I")))
        yield Tensor(name, shape, cursor.number("<I"), cursor.number("<Q"))


def table_entry(tensor: Tensor) -> bytes:
    """A tensor's line of the table."""
    shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
    name = struct.pack("<Q", len(tensor.name)) + tensor.name
    return name + shape + struct.pack("<IQ", tensor.kind, tensor.offset)
