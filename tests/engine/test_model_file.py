"""What is refused before the library sees it."""

import pathlib
import struct

import gguf
import pytest

from baton.engine import model_file
from baton.engine.model_file import LoadError, check_file, fault
from tests.fakes import tiny_gguf


def test_a_missing_file_is_named(tmp_path: pathlib.Path) -> None:
    """The message names the file and what to do."""
    with pytest.raises(LoadError, match=r"gone\.gguf does not exist: .*fetch"):
        check_file(str(tmp_path / "gone.gguf"))


def test_another_kind_of_file_is_named(tmp_path: pathlib.Path) -> None:
    """What is no GGUF never reaches the library; a short file neither."""
    path = tmp_path / "notes.gguf"
    for content in (b"not a model", b""):
        path.write_bytes(content)
        with pytest.raises(LoadError, match=r"notes\.gguf is not a GGUF file"):
            check_file(str(path))
    path.write_bytes(b"GGUF and more")
    check_file(str(path))


def test_a_cut_file_is_told(tmp_path: pathlib.Path) -> None:
    """Wherever it is cut: within its head, between two weights, before its last byte. What may
    follow the last weight, and what other versions hold, is not judged."""
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    content = path.read_bytes()
    assert fault(path) is None
    reader = gguf.GGUFReader(path)
    end = max(one.data_offset + one.n_bytes for one in reader.tensors)
    del reader
    for length in (*range(4, 200, 7), 3000, end // 2, end - 1):
        path.write_bytes(content[:length])
        assert f"{path} is cut" in (fault(path) or ""), length
    assert f"has {end - 1:,} bytes of at least {end:,}" in (fault(path) or "")
    for whole in (content[:end], content + bytes(9), b"GGUF\x02\0\0\0" + bytes(9)):
        path.write_bytes(whole)
        assert fault(path) is None
    path.write_bytes(b"<html>")
    assert "is no GGUF file" in (fault(path) or "")


@pytest.mark.parametrize(
    "rest",
    [
        struct.pack("<QQ", 2**64 - 1, 2**64 - 1),
        struct.pack("<QQQ", 0, 1, 2**64 - 1),
        struct.pack("<QQQ1sIIQ", 0, 1, 1, b"k", 9, 8, 2**64 - 1),
        struct.pack("<QQQ1sIIQ", 0, 1, 1, b"k", 9, 0, 2**64 - 1),
        struct.pack("<QQQ1sII", 0, 1, 1, b"k", 9, 9),
        struct.pack("<QQQ1sI", 0, 1, 1, b"k", 99),
        struct.pack("<QQQ17sII", 0, 1, 17, b"general.alignment", 4, 0),
        struct.pack("<QQQ1sI", 1, 0, 1, b"t", 2**32 - 1),
        struct.pack("<QQQ1sIQIQ", 1, 0, 1, b"t", 1, 2**63, 0, 2**63),
    ],
)
def test_a_head_that_lies_is_told(tmp_path: pathlib.Path, rest: bytes) -> None:
    """Counts and lengths beyond the file and beyond any number: a word, never an exception."""
    path = tmp_path / "odd.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + rest)
    assert f"{path} is cut" in (fault(path) or "")


def test_a_longer_head_is_not_judged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more of a file is read than its limit."""
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    monkeypatch.setattr(model_file, "HEAD_BYTES_MAX", 500)
    assert fault(path) is None
