"""Does the ledger say exactly what the callers have? Its rows on disk, and the comparison.

Money is integer nano-USD, prices are pico-USD per token; the charge is computed here again from
the documented rule (one rounding, half up, per request), not with the program's own code.
"""

import collections
import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import psycopg

DATABASE = "baton.db"
TERMINAL = ("settled", "released", "interrupted")
PICO_PER_NANO = 1000


@dataclasses.dataclass(frozen=True)
class Price:
    """pico-USD per token."""

    input_pico: int
    output_pico: int

    def charge(self, prompt_tokens: int, completion_tokens: int) -> int:
        """nano-USD, rounded once."""
        pico = prompt_tokens * self.input_pico + completion_tokens * self.output_pico
        return (pico + PICO_PER_NANO // 2) // PICO_PER_NANO


@dataclasses.dataclass(frozen=True)
class Whole:
    """A response that a caller has from its first to its last byte."""

    request_id: str
    prompt_tokens: int
    completion_tokens: int
    stream: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """A request as it stands on the ledger."""

    request_id: str
    account: str
    state: str
    hold: int
    charge: int
    overrun: int
    prompt_tokens: int | None
    completion_tokens: int | None
    user: str | None = None
    handoffs: int = 0


@dataclasses.dataclass(frozen=True)
class Book:
    """The folded ledger: every request, each account's balance, and the sum of all entries."""

    rows: Sequence[Row]
    posted: Mapping[str, int]
    entries_total: int


def read_book(home: pathlib.Path) -> Book:
    """The ledger of a data folder; what is not folded yet is not seen."""
    columns = ", ".join(f'"{field.name}"' for field in dataclasses.fields(Row))
    connection = sqlite3.connect(f"file:{home / DATABASE}?mode=ro", uri=True, timeout=10)
    try:
        rows = [Row(*values) for values in connection.execute(f"SELECT {columns} FROM request")]
        posted = dict(connection.execute("SELECT id, posted_nano FROM account"))
        total = connection.execute("SELECT COALESCE(SUM(amount_nano), 0) FROM entry").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()
    return Book(rows, posted, int(total[0]))


def read_server_book(url: str) -> Book:
    """The ledger of a PostgreSQL database."""
    columns = ", ".join(f'"{field.name}"' for field in dataclasses.fields(Row))
    with psycopg.connect(url, connect_timeout=10) as connection:
        rows = [Row(*values) for values in connection.execute(f"SELECT {columns} FROM request")]
        posted: dict[str, int] = dict(
            connection.execute("SELECT id, posted_nano FROM account").fetchall()
        )
        total = connection.execute("SELECT COALESCE(SUM(amount_nano), 0) FROM entry").fetchone()
    assert total is not None
    return Book(rows, posted, int(total[0]))


def offences(whole: Iterable[Whole], book: Book, price: Price) -> list[str]:
    """What the ledger has wrong; empty where it is exact."""
    answers = list(whole)
    by_id: dict[str, list[Row]] = collections.defaultdict(list)
    for row in book.rows:
        by_id[row.request_id].append(row)
    found = [f"{name}: on the ledger {len(rows)} times" for name, rows in by_id.items() if rows[1:]]
    for answer in answers:
        found += _of_answer(answer, by_id.get(answer.request_id, []), price)
    answered = {answer.request_id for answer in answers}
    found += [f for row in book.rows if row.request_id not in answered for f in _of_rest(row)]
    return found + _of_balances(book)


def _of_answer(answer: Whole, rows: Sequence[Row], price: Price) -> list[str]:
    """A whole answer: there, settled, with its tokens, at exactly its price."""
    if not rows:
        return [f"{answer}: not on the ledger"]
    row, want = rows[0], price.charge(answer.prompt_tokens, answer.completion_tokens)
    tokens = (answer.prompt_tokens, answer.completion_tokens)
    found = []
    if row.state != "settled":
        found.append(f"{answer}: {row.state}")
    if (row.prompt_tokens, row.completion_tokens) != tokens:
        found.append(f"{answer}: {row} has other tokens")
    if row.charge != want:
        found.append(f"{answer}: charged {row.charge}, not {want}")
    return found


def _of_rest(row: Row) -> list[str]:
    """Whatever nobody has whole: ended, and charged no more than was held."""
    if row.state not in TERMINAL:
        return [f"{row}: not ended"]
    if not 0 <= row.charge <= row.hold:
        return [f"{row}: charged beyond its hold"]
    return [f"{row}: released, but charged"] if row.state == "released" and row.charge else []


def _of_balances(book: Book) -> list[str]:
    sums: dict[str, int] = collections.Counter()
    for row in book.rows:
        sums[row.account] += row.charge
    found = [
        f"account {name}: {book.posted.get(name, 0)} posted, its rows sum to {total}"
        for name, total in sums.items()
        if book.posted.get(name, 0) != total
    ]
    if book.entries_total:
        found.append(f"the entries sum to {book.entries_total}, not 0")
    return found
