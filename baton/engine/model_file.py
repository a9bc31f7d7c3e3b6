"""Whether there is a model file at a path at all, told in words of our own: the library would only
say that it failed."""

import pathlib

from baton.engine.gguf import MAGIC, VERSION, GgufError, frame
from baton.errors import BatonError

HEAD_BYTES_MAX = 64 * 1024 * 1024
"""Of what stands before the weights: a vocabulary of a quarter million words takes some 20 MB."""


class LoadError(BatonError):
    """The model file cannot be used; the message names it and the remedy."""


def check_file(path: str) -> None:
    """Raises LoadError for what is missing, unreadable or of another kind."""
    file = pathlib.Path(path)
    if not file.is_file():
        raise LoadError(
            f"model file {path} does not exist: check the path, or fetch the model again"
        )
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(MAGIC))
    except OSError as error:
        raise LoadError(f"model file {path} cannot be read: {error.strerror}") from None
    if magic != MAGIC:
        raise LoadError(f"{path} is not a GGUF file: delete it and fetch the model again")


def fault(path: pathlib.Path) -> str | None:
    """What is wrong with a model's file by what its head says; None where nothing is, or where the
    head is of a version, or longer, than is read here. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        head = opened.read(HEAD_BYTES_MAX)
    if head[: len(MAGIC)] != MAGIC:
        return f"{path} is no GGUF file"
    version = int.from_bytes(head[len(MAGIC) : len(MAGIC) + 4], "little")
    if version != VERSION and len(head) >= len(MAGIC) + 4:
        return None
    try:
        least = frame(memoryview(head)).bytes_min
    except GgufError:
        return None if len(head) < size else f"{path} is cut within its head, or damaged"
    if least <= size:
        return None
    return f"{path} is cut: it has {size:,} bytes of at least {least:,}"
