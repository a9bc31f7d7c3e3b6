"""Rows become requests as they are, whatever of them is empty and however many there are."""

import pathlib
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import select

from baton.stores.base import StoreUnavailable
from baton.stores.book import Store
from baton.stores.carried import (
    COLUMNS,
    RARE,
    ROWS_PER_STATEMENT,
    SEQ_BITS,
    Row,
    carry,
    known,
    of,
    storable,
)
from baton.stores.tables import request
from tests.bookkeeping import new_store

WORDS = {column.name for column in request.columns if column.type.python_type is str}
IN_THE_BOOK = select(*(request.c[name] for name in COLUMNS)).order_by(request.c.id)


def row(seq: int, *missing: str) -> Row:
    values: dict[str, Any] = {n: f"{n}\0{seq}" if n in WORDS else seq for n in COLUMNS}
    values |= {"state": "settled", **dict.fromkeys(missing)}
    return (seq, *(values[name] for name in COLUMNS))


def carried(store: Store, rows: list[Row]) -> list[Row]:
    with store.database.writing(alone=False) as connection:
        carry(connection, storable(connection, rows))
    with store.database.reading() as connection:
        return [tuple(each) for each in connection.execute(IN_THE_BOOK)]


@pytest.mark.parametrize("missing", [(), RARE, RARE[:3], ("cached_tokens",), ("error_code",)])
def test_rows_are_what_they_were(
    tmp_path: pathlib.Path, kind: str, missing: tuple[str, ...]
) -> None:
    """Whatever of them is empty; PostgreSQL stores another character for NUL."""
    store = new_store(tmp_path)
    rows = [row(1), row(2, *missing), row(3), row(4, *RARE)]
    found = carried(store, rows)
    if kind == "postgresql":
        rows = [tuple(_without_nul(value) for value in each) for each in rows]
    assert [each[1:] for each in rows] == found
    store.close()


@pytest.mark.parametrize("number", [0, 1, ROWS_PER_STATEMENT, 2 * ROWS_PER_STATEMENT + 1])
def test_as_many_as_there_are(tmp_path: pathlib.Path, number: int) -> None:
    """None is left out, and none comes twice, where statements take many."""
    store = new_store(tmp_path)
    rows = [row(n, *RARE) for n in range(number)]
    assert list(range(number)) == [of("id")((0, *each)) for each in carried(store, rows)]
    store.close()


def test_what_is_there_is_known(tmp_path: pathlib.Path) -> None:
    """By its id, however large; and it does not go in again."""
    store, large = new_store(tmp_path), 2**62
    rows = [row(1, *RARE), row(large, *RARE)]
    carried(store, rows)
    with store.database.reading() as connection:
        assert {1, large} == known(connection, [1, 2, large, large + 1])
        assert set() == known(connection, [])
    with pytest.raises((sqlalchemy.exc.IntegrityError, StoreUnavailable)):
        carried(store, rows)
    store.close()


def test_newer_ones_are_not_known(tmp_path: pathlib.Path) -> None:
    """Of a journal, whatever others have; those between are looked for."""
    store, first, second = new_store(tmp_path), 1 << SEQ_BITS, 2 << SEQ_BITS
    carried(store, [row(n, *RARE) for n in (first + 5, first + 9, second + 1)])
    with store.database.reading() as connection:
        for there, asked in (
            (set(), [first + 10, first + 11]),
            ({first + 9}, [first + 7, first + 9, first + 10]),
            (set(), [first + 7]),
            ({second + 1}, [second + 1, second + 2]),
            (set(), [second]),
            (set(), [3 << SEQ_BITS]),
        ):
            assert there == known(connection, asked)
    store.close()


def _without_nul(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
