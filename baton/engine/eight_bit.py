"""A copy of a model in which tensors of 4 bits (Q4_1) are written with 8 (Q8_0).

llama.cpp has no batched kernel for Q4_1 and a good one for Q8_0. On one core the copy of the
default model computes a prompt in half the time, and a step of 8 streams in 60 % of it; a single
stream is a tenth slower per token. Its answers are no worse (bits per byte on a text: 0.718 against
0.724).

A block of Q4_1 is 32 weights: scale and offset as half floats, then 16 bytes, of which the low half
holds the first sixteen weights. A block of Q8_0: a scale as a half float, then 32 signed bytes; the
greatest weight becomes 127. All arithmetic is element by element in single precision, so that the
copy is the same file on every machine."""

import mmap
import os
import pathlib
import struct
from typing import IO

import msgspec
import numpy as np
import numpy.typing as npt

from baton.engine.gguf import Frame, GgufError, Tensor, frame, padded, table_entry

F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
FILE_KIND_Q8_0 = 7
"""Of the value `general.file_type`."""
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_1: (32, 20), Q8_0: (32, 34)}
"""Weights and bytes of a block."""
Bytes = npt.NDArray[np.uint8]


def write_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Write the copy, whole on the disk when this returns. Raises GgufError and OSError."""
    with source.open("rb") as file, target.open("wb") as copy:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            data = memoryview(mapped)
            try:
                _write(data, frame(data), copy)
            finally:
                data.release()
        copy.flush()
        os.fsync(copy.fileno())


def _write(data: memoryview, found: Frame, copy: IO[bytes]) -> None:
    head, offset = bytearray(data[: found.metadata_end]), 0
    if found.file_kind_at is not None:
        struct.pack_into("<I", head, found.file_kind_at, FILE_KIND_Q8_0)
    for tensor in found.tensors:
        kind = Q8_0 if tensor.kind == Q4_1 else tensor.kind
        placed = msgspec.structs.replace(tensor, kind=kind, offset=offset)
        head += table_entry(placed)
        offset += padded(_size_bytes(placed), found.alignment)
    _append(copy, head, found.alignment)
    for tensor in found.tensors:
        start = found.data_start + tensor.offset
        content = np.frombuffer(data[start : start + _size_bytes(tensor)], np.uint8)
        converted = to_eight_bits(content) if tensor.kind == Q4_1 else content
        _append(copy, converted.tobytes(), found.alignment)
        del content  # nothing may refer to the file when it is closed


def _size_bytes(tensor: Tensor) -> int:
    if tensor.kind not in BLOCKS:
        raise GgufError(f"a tensor of ggml's format {tensor.kind}")
    weights, size = BLOCKS[tensor.kind]
    return tensor.weights // weights * size


def _append(copy: IO[bytes], content: bytes | bytearray, alignment: int) -> None:
    copy.write(content)
    copy.write(bytes(padded(len(content), alignment) - len(content)))


def to_eight_bits(content: Bytes) -> Bytes:
    """Blocks of Q4_1 as blocks of Q8_0."""
    blocks = content.reshape(-1, BLOCKS[Q4_1][1])
    scale, least = (_half(blocks[:, at : at + 2]) for at in (0, 2))
    packed = blocks[:, 4:]
    weights = np.concatenate((packed & 15, packed >> 4), axis=1).astype(np.float32)
    weights *= scale
    weights += least
    step = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)
    weights *= inverse
    rounded = np.trunc(weights + np.copysign(np.float32(0.5), weights)).astype(np.int8)
    found = np.empty((len(blocks), BLOCKS[Q8_0][1]), np.uint8)
    found[:, :2] = step.astype("<f2").view(np.uint8)
    found[:, 2:] = rounded.view(np.uint8)
    return found.reshape(-1)


def _half(pairs: Bytes) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(pairs).view("<f2").astype(np.float32)
