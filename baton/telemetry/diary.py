"""What Baton says of itself while it runs: an event in a few words, and fields that say more of it.

It goes through the standard library's logging, as do uvicorn and Alembic, and leaves as one JSON
line an event, or as coloured columns on a terminal. A traceback never shows the values of
variables: prompts are among them.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import TextIO

import msgspec

NAME = "baton"
FIELDS = "baton_fields"
"""Where a record of ours keeps its fields."""
COLOURS = {"debug": 36, "info": 32, "warning": 33, "error": 31, "critical": 31}
"""Of a level's word on a terminal, by ANSI's numbers."""
EVENT_WIDTH = 40
COUNTED = ("warning", "error")
"""Levels whose lines are counted; what is critical counts as an error."""

_logger = logging.getLogger(NAME)


def info(event: str, **fields: object) -> None:
    _say(logging.INFO, event, fields)


def warning(event: str, **fields: object) -> None:
    """Something is not as it should be, and Baton goes on."""
    _say(logging.WARNING, event, fields)


def error(event: str, **fields: object) -> None:
    """Something does not work, and an operator should look."""
    _say(logging.ERROR, event, fields)


def exception(event: str, **fields: object) -> None:
    """A fault of ours: as `error`, with the traceback of what is being handled."""
    _say(logging.ERROR, event, fields, traced=True)


@contextlib.contextmanager
def outliving(task: str) -> Iterator[None]:
    """Around one round of what goes on for as long as its process: a fault of ours in it is told,
    and the next round comes all the same. Without this nobody would hear of a task that ended, nor
    do what it did."""
    try:
        yield
    except Exception:  # noqa: BLE001 — that is what it is for
        exception("a round failed; the next one comes", task=task)


def _say(level: int, event: str, fields: Mapping[str, object], *, traced: bool = False) -> None:
    if _logger.isEnabledFor(level):
        # %-signs in an event are its own: without arguments logging leaves them alone.
        _logger.log(level, event, exc_info=traced, extra={FIELDS: fields})


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What an event is about; of other programs' records the name of their logger."""
    found = getattr(record, FIELDS, None)
    return {"logger": record.name} if found is None else dict(found)


class Lines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            **fields_of(record),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told, enc_hook=str).decode()


class Columns(logging.Formatter):
    """Time, level, event and fields, for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        at, level = datetime.fromtimestamp(record.created, UTC), record.levelname.lower()
        fields = " ".join(
            f"\x1b[36m{name}\x1b[0m={value}" for name, value in fields_of(record).items()
        )
        coloured = f"\x1b[{COLOURS.get(level, 0)}m{level:<8}\x1b[0m"
        text = f"{at:%Y-%m-%dT%H:%M:%SZ} {coloured} {record.getMessage():<{EVENT_WIDTH}} {fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text.rstrip()


class Tally(logging.Handler):
    """Counts what is logged, by level: an operator need not read the log to hear that there is
    something to read. Other programs' records count too."""

    def __init__(self, counts: MutableMapping[str, int]) -> None:
        """`counts` has each of COUNTED."""
        super().__init__(logging.WARNING)
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        self._counts["error" if record.levelno >= logging.ERROR else "warning"] += 1


@contextlib.contextmanager
def tallying(counts: MutableMapping[str, int]) -> Iterator[None]:
    """What is logged meanwhile counts there; levels that are kept out of the log do not."""
    tally = Tally(counts)
    logging.getLogger().addHandler(tally)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(tally)


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """From now on events of this level and above go to `stream`; the others nowhere."""
    outlet = logging.StreamHandler(stream)
    outlet.setFormatter(Columns() if stream.isatty() else Lines())
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[outlet], level=number, force=True)
