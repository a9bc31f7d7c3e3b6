"""What Baton says of itself while something runs."""

import contextlib
import logging
from collections.abc import Iterator

from baton.telemetry import diary


class Heard(logging.Handler):
    """Keeps what is said: each event's fields, with `event` and `level`."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = {"event": record.getMessage(), "level": record.levelname.lower()}
        self.told.append({**diary.fields_of(record), **said})


@contextlib.contextmanager
def hearing() -> Iterator[list[dict[str, object]]]:
    """A list that fills while the block runs."""
    heard, logger = Heard(), logging.getLogger(diary.NAME)
    logger.addHandler(heard)
    try:
        yield heard.told
    finally:
        logger.removeHandler(heard)
