"""What Baton says of itself: JSON lines, or columns on a terminal, from every part alike."""

import asyncio
import io
import json
import logging
import pathlib
import re
from collections.abc import Iterator

import pytest

from baton.telemetry import diary


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_everything_is_a_json_line() -> None:
    """Ours and what comes from other programs' loggers; below the level nothing does."""
    stream = io.StringIO()
    diary.configure("info", stream)
    diary.info("100% engine started", threads=3, path=pathlib.Path("/x"))
    logging.getLogger("uvicorn.error").debug("not told")
    diary.warning("odd", reason="none")
    diary.error("worse")
    logging.getLogger("uvicorn.error").warning("port %s", 80)
    told = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [
        ("100% engine started", "info"),
        ("odd", "warning"),
        ("worse", "error"),
        ("port 80", "warning"),
    ] == [(entry["event"], entry["level"]) for entry in told]
    assert (3, "/x", "uvicorn.error") == (told[0]["threads"], told[0]["path"], told[3]["logger"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", told[0]["timestamp"])
    assert "logger" not in told[0]


PROMPT = (115, 101, 99, 114, 101, 116)
"""`secret`, in no line of the source."""


def fail(prompt: str) -> None:
    raise ZeroDivisionError(len(prompt))


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_fault_has_its_traceback_without_values(stream: io.StringIO) -> None:
    """Where it happened, and no variable's value."""
    diary.configure("error", stream)
    try:
        fail(bytes(PROMPT).decode())
    except ZeroDivisionError:
        diary.exception("request failed", request_id="req-1")
    assert "Traceback" in stream.getvalue()
    assert "ZeroDivisionError: 6" in stream.getvalue()
    assert "req-1" in stream.getvalue()
    assert "secret" not in stream.getvalue()


def test_a_round_that_fails_is_told() -> None:
    """And what is around it goes on; who is cancelled is."""
    stream = io.StringIO()
    diary.configure("info", stream)
    with diary.outliving("looking"):
        fail("odd")
    [told] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert ("error", "looking") == (told["level"], told["task"])
    assert "ZeroDivisionError: 3" in told["exception"]
    with pytest.raises(asyncio.CancelledError), diary.outliving("looking"):
        raise asyncio.CancelledError


def test_columns_on_a_terminal() -> None:
    """A person reads time, level, event, fields."""
    stream = Terminal()
    diary.configure("info", stream)
    diary.warning("upstream ejected", upstream="gpu", seconds=30)
    plain = re.sub(r"\x1b\[\d+m", "", stream.getvalue())
    assert re.fullmatch(r"\S+Z warning  upstream ejected {25}upstream=gpu seconds=30\n", plain), (
        plain
    )


def test_what_is_told_of_is_counted() -> None:
    """By level, other programs' lines too; not what is kept out of the log or comes after."""
    diary.configure("warning", io.StringIO())
    counts = dict.fromkeys(diary.COUNTED, 0)
    with diary.tallying(counts):
        diary.info("as it should be")
        diary.warning("odd")
        diary.error("worse")
        logging.getLogger("uvicorn.error").critical("worst")
    diary.error("afterwards")
    assert {"warning": 1, "error": 2} == counts
