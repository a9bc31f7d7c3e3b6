"""A file's name by its content."""

import hashlib
import pathlib

from baton.engine.digest import file_sha256


def test_digest_is_the_one_of_the_content(tmp_path: pathlib.Path) -> None:
    """SHA-256 in hex, also of more than is read at once."""
    content = bytes(range(256)) * 4000
    (tmp_path / "model").write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == file_sha256(tmp_path / "model")
