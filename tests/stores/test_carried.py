"""The batch's table: rows go in as they are, and are gone with the transaction."""

import pytest
from sqlalchemy import text

from baton.stores.carried import COLUMNS, POSTED, RARE, Row, carry, clear, prepare
from baton.stores.tables import request
from tests.bookkeeping import new_store

WORDS = {column.name for column in request.columns if column.type.python_type is str}


def row(seq: int, *missing: str) -> Row:
    values = {name: f"{name}\0{seq}" if name in WORDS else seq for name in COLUMNS}
    return (seq, seq + 1, *({**values, **dict.fromkeys(missing)}[name] for name in COLUMNS))


@pytest.mark.parametrize("missing", [(), RARE, RARE[:3], ("cached_tokens",)])
def test_rows_are_what_they_were(
    tmp_path_factory: pytest.TempPathFactory, kind: str, missing: tuple[str, ...]
) -> None:
    """Whatever of them is empty, two batches in a row, each in a transaction of its own."""
    store = new_store(tmp_path_factory.mktemp("home"))
    names = ", ".join(f'"{name}"' for name in ("seq", "hold_seq", *COLUMNS))
    query = text(f"SELECT {names} FROM {POSTED} ORDER BY seq")
    for first in (1, 10):
        rows = [row(first), row(first + 2, *missing), row(first + 4)]
        with store.database.writing(alone=False) as connection:
            prepare(connection)
            carry(connection, rows)
            found = [tuple(each) for each in connection.execute(query)]
            clear(connection)
        if kind == "postgresql":
            rows = [tuple(_without_nul(value) for value in each) for each in rows]
        assert rows == found
    store.close()


def _without_nul(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
