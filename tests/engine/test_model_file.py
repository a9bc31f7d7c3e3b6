"""What is refused before the library sees it."""

import pathlib

import pytest

from baton.engine.model_file import LoadError, check_file


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
