"""Names in folders that outlive a power cut."""

import os
import pathlib


def sync_folder(folder: pathlib.Path) -> None:
    """What was named, renamed or removed in the folder is so after a power cut, too. Raises
    OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
