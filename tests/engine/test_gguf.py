"""The frame of a GGUF file, against what the gguf package writes and reads."""

import pathlib

import gguf
import pytest

from baton.engine.gguf import BLOCKS, GgufError, frame, padded, table_entry
from tests.fakes import tiny_gguf


def test_the_frame_is_what_the_package_reads(tmp_path: pathlib.Path) -> None:
    """Every tensor lies where its table says; the metadata ends where the table begins."""
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    content = path.read_bytes()
    found, wanted = frame(memoryview(content)), gguf.GGUFReader(path)
    assert wanted.alignment == found.alignment
    for mine, theirs in zip(found.tensors, wanted.tensors, strict=True):
        assert (theirs.name, theirs.n_elements) == (mine.name.decode(), mine.weights)
        assert theirs.tensor_type == mine.kind
        assert theirs.data_offset == found.data_start + mine.offset
    table = b"".join(table_entry(tensor) for tensor in found.tensors)
    assert table == content[found.metadata_end : found.metadata_end + len(table)]
    assert found.data_start == padded(found.metadata_end + len(table), found.alignment)


@pytest.mark.parametrize("length", [0, 4, 20, 200, 3000])
def test_a_cut_file_is_told(tmp_path: pathlib.Path, length: int) -> None:
    """Wherever it is cut before the data begin."""
    content = tiny_gguf.write(tmp_path / "tiny.gguf").read_bytes()
    with pytest.raises(GgufError):
        frame(memoryview(content[:length]))


def test_other_files_are_told() -> None:
    """By magic and version."""
    for content in (b"<html>" * 9, b"GGUF\x02\0\0\0" + bytes(64)):
        with pytest.raises(GgufError):
            frame(memoryview(content))


def test_how_long_formats_are() -> None:
    """As the package knows them."""
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == BLOCKS


def test_padding() -> None:
    """Up to the next multiple."""
    assert [0, 32, 32, 64] == [padded(size, 32) for size in (0, 1, 32, 33)]
