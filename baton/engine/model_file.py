"""Whether there is a model file at a path at all, told in words of our own: the library would only
say that it failed."""

import pathlib

from baton.engine.gguf import MAGIC
from baton.errors import BatonError


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
