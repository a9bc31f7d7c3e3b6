"""What names a file by its content."""

import hashlib
import pathlib


def file_sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
