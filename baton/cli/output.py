"""How commands print data: a table for people, JSON with --json for programs."""

import datetime
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import rich.box
import rich.console
import rich.table
import typer

from baton.cli.main import CommandError
from baton.stores.base import TIME_US_MAX
from baton.web.console.plain import plain

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Row = Mapping[str, object]

DURATION = re.compile(r"(\d+)([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
US_PER_S = 1_000_000
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def print_rows(rows: Sequence[Row], columns: Mapping[str, str], as_json: bool) -> None:
    """Rows as a table of `columns` (field → heading), or whole as a JSON array."""
    if as_json:
        return print_json(rows)
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for field, heading in columns.items():
        numbers = bool(rows) and all(isinstance(row[field], int | float) for row in rows)
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[field]) for field in columns))
    console().print(table)


def print_fields(row: Row, as_json: bool) -> None:
    """One object: a line per field."""
    if as_json:
        return print_json(row)
    width = max(map(len, row))
    for name, value in row.items():
        print(f"{name:<{width}}  {_cell(value)}")


def print_json(value: object) -> None:
    """In UTF-8, as JSON is, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def console() -> rich.console.Console:
    """Standard output; wide enough for every column where it is not a terminal."""
    width = None if sys.stdout.isatty() else 200
    return rich.console.Console(highlight=False, markup=False, width=width, soft_wrap=False)


def inert(text: str) -> str:
    """On one line, and without what a terminal acts on: callers choose the `user` of requests."""
    return plain(text, len(text)).replace("\n", "\\x0a").replace("\t", "\\x09")


def _cell(value: object) -> str:
    return inert(_written(value))


def _written(value: object) -> str:
    if value in (None, "", [], (), {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case Mapping():
            return ", ".join(f"{k}={v}" for k, v in value.items())
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def when(at_us: int | None, *, exact: bool = False) -> str | None:
    """Microseconds since 1970 as an ISO time in UTC; to the second, unless `exact`."""
    if at_us is None:
        return None
    moment = EPOCH + datetime.timedelta(microseconds=at_us if exact else at_us - at_us % US_PER_S)
    return moment.isoformat().replace("+00:00", "Z")


def moment_us(text: str, now_us: int) -> int:
    """A time given as a date, an ISO time (UTC where it names no zone) or a span such as 30d."""
    if span := DURATION.fullmatch(text):
        return _shown(text, now_us + int(span[1]) * SECONDS[span[2]] * US_PER_S)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is no time: write 2027-01-31, 2027-01-31T12:00:00Z or a span like 30d"
        raise CommandError(message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return _shown(text, (moment - EPOCH) // datetime.timedelta(microseconds=1))


def _shown(text: str, at_us: int) -> int:
    """CommandError for what the admin API does not take, and no calendar shows."""
    if at_us < 0:
        raise CommandError(f"'{text}' is before 1970")
    if at_us > TIME_US_MAX:
        raise CommandError(f"'{text}' is later than the year 9999")
    return at_us
