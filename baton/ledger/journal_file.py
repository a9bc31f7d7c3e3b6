"""One journal file: rows that were committed, and what of them recovery closes. Synchronous.

Written by one thread of one process (its slot's lock sees to that), read by folds. WAL with
synchronous=FULL: a committed row outlives a power cut. Rows are numbered by `seq`, ever increasing:
what is folded up to a seq stays folded. A transaction is one multi-row INSERT where it can be: the
statement runs outside the interpreter's lock, and a busy event loop then costs one wait, not one a
row.
"""

import contextlib
import functools
import operator
import pathlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from baton.ledger.entries import (
    ATTEMPT_COLUMNS,
    HOLD_COLUMNS,
    REQUEST_COLUMNS,
    CheckpointRow,
    HoldRow,
    SettleRow,
)
from baton.stores.base import StoreUnavailable

ROWS_PER_STATEMENT_MAX = 64
"""Statements of 1 to 64 rows are compiled at most once each and kept."""
WAL_PAGES_MAX = 4_000
"""16 MB: the writer moves the log into the file itself if the fold did not come to it."""
PRUNED_ROWS_MAX = 2_000
"""Rows that one transaction removes, so that no commit waits for long behind it."""
NOT_STORABLE = (
    ValueError,
    TypeError,
    OverflowError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.IntegrityError,
)
"""A row at fault, not the disk: its batch is written row by row."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS about(
  identity TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS epoch(
  number INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, opened_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS hold(
  seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL, created_us INTEGER NOT NULL,
  key_id TEXT NOT NULL, account TEXT NOT NULL, scopes TEXT NOT NULL, model TEXT NOT NULL,
  user TEXT, stream INTEGER NOT NULL, hold INTEGER NOT NULL, price_version INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS checkpoint(
  hold_seq INTEGER PRIMARY KEY, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  charge INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS settle(
  seq INTEGER PRIMARY KEY, hold_seq INTEGER NOT NULL UNIQUE,
  request_id TEXT NOT NULL, created_us INTEGER NOT NULL,
  key_id TEXT NOT NULL, account TEXT NOT NULL, scopes TEXT NOT NULL, model TEXT NOT NULL,
  user TEXT, stream INTEGER NOT NULL, hold INTEGER NOT NULL, price_version INTEGER NOT NULL,
  upstream TEXT NOT NULL, state TEXT NOT NULL,
  charge INTEGER NOT NULL, overrun INTEGER NOT NULL, cost INTEGER NOT NULL,
  prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER,
  reasoning_tokens INTEGER, audio_prompt_tokens INTEGER, image_prompt_tokens INTEGER,
  audio_completion_tokens INTEGER, cache_write_tokens INTEGER, estimated INTEGER NOT NULL,
  queue_us INTEGER, hold_us INTEGER, first_byte_us INTEGER, last_byte_us INTEGER,
  status INTEGER NOT NULL, error_code TEXT, finish_reason TEXT, fills TEXT NOT NULL,
  handoffs INTEGER NOT NULL, attempts INTEGER NOT NULL, cost_version INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS attempt(
  seq INTEGER NOT NULL, n INTEGER NOT NULL, hold_seq INTEGER NOT NULL,
  upstream TEXT NOT NULL, cost INTEGER NOT NULL, price_version INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER, completion_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER, audio_prompt_tokens INTEGER, image_prompt_tokens INTEGER,
  audio_completion_tokens INTEGER, cache_write_tokens INTEGER, estimated INTEGER NOT NULL,
  PRIMARY KEY(seq, n)) STRICT;
"""
ADDED = {"cost_version": "ALTER TABLE settle ADD COLUMN cost_version INTEGER"}
"""Columns that files of earlier versions lack."""

RECOVER = f"""
INSERT OR IGNORE INTO settle(seq, hold_seq, {", ".join(HOLD_COLUMNS)}, upstream, state, charge,
  overrun, cost, prompt_tokens, completion_tokens, estimated, status, error_code, fills, handoffs,
  attempts, cost_version)
SELECT ? + row_number() OVER (ORDER BY h.seq), h.seq, {", ".join("h." + c for c in HOLD_COLUMNS)},
  '', 'interrupted', min(coalesce(c.charge, 0), h.hold), 0, 0, c.prompt_tokens,
  c.completion_tokens, 1, 500, 'interrupted', '', 0, 1, 0
FROM hold h LEFT JOIN checkpoint c ON c.hold_seq = h.seq
WHERE NOT EXISTS (SELECT 1 FROM settle s WHERE s.hold_seq = h.seq)
"""


class JournalFile:
    """An open journal. Every method raises StoreUnavailable when the file cannot be written."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        with _mapped():
            self._connection = sqlite3.connect(
                path,
                isolation_level=None,
                check_same_thread=False,
                timeout=5.0,
                cached_statements=4 * ROWS_PER_STATEMENT_MAX,
            )
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}")
            self._connection.executescript(SCHEMA)
            self._add_columns()
            self.identity = self._own_identity()

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]:
        """Begin a life of this journal: close what the last one left open, at its checkpoints.

        Numbers go on after `folded_seq` at least: of a restored backup the book may know more.
        Returns the first free seq and how many holds were interrupted. Doing it again is
        harmless."""
        with _mapped(), self._transaction():
            last = max(self._last_seq(), folded_seq)
            interrupted = self._connection.execute(RECOVER, (last,)).rowcount
            self._connection.execute("DELETE FROM checkpoint")
            self._connection.execute("DELETE FROM hold")
            first = last + max(0, interrupted) + 1
            self._connection.execute(
                "INSERT INTO epoch(first_seq, opened_us) VALUES(?, ?)", (first, now_us)
            )
        return first, interrupted

    def append(
        self,
        holds: Sequence[tuple[int, HoldRow]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, SettleRow]],
    ) -> None:
        """All rows or none. A second end of the same hold is ignored."""
        statements = []
        if holds:
            rows = [(seq, *msgspec.structs.astuple(row)) for seq, row in holds]
            statements += _statements("hold", rows)
        if checkpoints:
            latest = {row.hold_seq: msgspec.structs.astuple(row) for row in checkpoints}
            statements += _statements("checkpoint", list(latest.values()))
        if settles:
            rows = [_settle_values(*item) for item in settles]
            statements += _statements("usual" if all(map(_usual, rows)) else "settle", rows)
            spent = [values for item in settles if item[1].spent for values in _attempts(*item)]
            statements += _statements("attempt", spent)
        with _mapped():
            self._run(statements)

    def prune(self, folded_seq: int) -> bool:
        """Remove rows whose end is folded, but the newest (it remembers how far the numbers went).

        Returns whether there was as much as one step removes, so that more may be left."""
        with _mapped(), self._transaction():
            ended = self._connection.execute(
                "SELECT seq, hold_seq FROM settle WHERE seq < ? ORDER BY seq LIMIT ?",
                (folded_seq, PRUNED_ROWS_MAX),
            ).fetchall()
            holds = [(hold_seq,) for _, hold_seq in ended]
            self._connection.executemany("DELETE FROM hold WHERE seq = ?", holds)
            self._connection.executemany("DELETE FROM checkpoint WHERE hold_seq = ?", holds)
            if ended:
                for table in ("settle", "attempt"):
                    self._connection.execute(f"DELETE FROM {table} WHERE seq <= ?", ended[-1][:1])
        return len(ended) == PRUNED_ROWS_MAX

    def close(self) -> None:
        self._connection.close()

    def _run(self, statements: list[tuple[str, list[object]]]) -> None:
        if len(statements) == 1:  # its own transaction
            self._connection.execute(*statements[0])
            return
        with self._transaction():
            for sql, values in statements:
                self._connection.execute(sql, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _last_seq(self) -> int:
        query = (
            "SELECT max(coalesce((SELECT max(seq) FROM hold), 0),"
            " coalesce((SELECT max(seq) FROM settle), 0),"
            " coalesce((SELECT max(first_seq) FROM epoch) - 1, 0))"
        )
        return int(self._connection.execute(query).fetchone()[0])

    def _add_columns(self) -> None:
        present = {row[1] for row in self._connection.execute("PRAGMA table_info(settle)")}
        for name, statement in ADDED.items():
            if name not in present:
                self._connection.execute(statement)

    def _own_identity(self) -> str:
        row = self._connection.execute("SELECT identity FROM about").fetchone()
        if row is not None:
            return str(row[0])
        identity = secrets.token_hex(8)
        self._connection.execute("INSERT INTO about VALUES(?)", (identity,))
        return identity


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except NOT_STORABLE:
        raise
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the journal cannot be written: {error}") from error


RARE = (
    "user",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "image_prompt_tokens",
    "audio_completion_tokens",
    "cache_write_tokens",
    "queue_us",
    "error_code",
)
"""What most ends leave empty. Of a row's cost to bind a third is its NULLs (the driver looks for an
adapter of each), so an insert without these columns is used where all rows of it can be."""
SETTLE_COLUMNS = ("seq", "hold_seq", *REQUEST_COLUMNS)
USUAL_COLUMNS = tuple(name for name in SETTLE_COLUMNS if name not in RARE)
NOTHING = (None,) * len(RARE)
_rare = operator.itemgetter(*map(SETTLE_COLUMNS.index, RARE))
_often = operator.itemgetter(*map(SETTLE_COLUMNS.index, USUAL_COLUMNS))

INSERTS = {
    "hold": ("INSERT INTO hold", 1 + len(HOLD_COLUMNS)),
    "checkpoint": ("INSERT OR REPLACE INTO checkpoint", 4),
    "settle": ("INSERT OR IGNORE INTO settle", len(SETTLE_COLUMNS)),
    "usual": (
        f"INSERT OR IGNORE INTO settle({', '.join(USUAL_COLUMNS)})",
        len(USUAL_COLUMNS),
    ),
    "attempt": ("INSERT INTO attempt", 3 + len(ATTEMPT_COLUMNS)),
}


def _usual(values: tuple[object, ...]) -> bool:
    """Whether an end is one of most."""
    return bool(_rare(values) == NOTHING)


def _statements(kind: str, rows: Sequence[tuple[object, ...]]) -> list[tuple[str, list[object]]]:
    if kind == "usual":
        rows = [_often(row) for row in rows]
    chunks = (
        rows[start : start + ROWS_PER_STATEMENT_MAX]
        for start in range(0, len(rows), ROWS_PER_STATEMENT_MAX)
    )
    return [(_insert(kind, len(chunk)), [v for row in chunk for v in row]) for chunk in chunks]


@functools.cache
def _insert(kind: str, rows: int) -> str:
    beginning, columns = INSERTS[kind]
    row = f"({', '.join('?' * columns)})"
    return f"{beginning} VALUES {', '.join([row] * rows)}"


def _settle_values(seq: int, row: SettleRow) -> tuple[object, ...]:
    astuple = msgspec.structs.astuple
    return (seq, row.hold_seq, *astuple(row.hold), *astuple(row.end))


def _attempts(seq: int, row: SettleRow) -> Iterator[tuple[object, ...]]:
    """Under the number of the end: those of a second end, which is ignored, lead nowhere."""
    for n, attempt in enumerate(row.spent, 1):
        yield (seq, n, row.hold_seq, *msgspec.structs.astuple(attempt))
