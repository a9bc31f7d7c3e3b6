"""What rows are worth: SQL and the price book come to the same, whatever the counts."""

import pathlib
from typing import Any

import msgspec
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.ledger.prices import AMOUNT_NANO_MAX, HOLD_NANO_MAX, charge
from baton.ledger.worth import COUNTS, PICO_IN_SQL_MAX, at_price, one_by_one, worth_of, worth_sql
from baton.semantics.events import Usage
from baton.stores.base import PriceDetails, PriceRecord
from baton.stores.tables import attempt, price
from tests.bookkeeping import new_store

PRICES = [
    PriceRecord(version=0, model="m", effective_us=1, input_pico=1_499, output_pico=7),
    PriceRecord(version=0, model="m", effective_us=1, cached_input_pico=0, input_pico=501),
    PriceRecord(version=0, model="m", effective_us=1, request_nano=5, cached_input_pico=9_000),
    PriceRecord(version=0, model="m", effective_us=1, details=PriceDetails(reasoning_pico=1)),
    PriceRecord(version=0, model="m", effective_us=1, cached_input_pico=PICO_IN_SQL_MAX + 1),
]
counts = st.integers(0, 2_000)
rows = st.lists(st.tuples(counts, st.none() | counts, counts, st.integers(0, 3)), max_size=20)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows)
def test_sql_and_the_price_book_agree(tmp_path: pathlib.Path, found: list[Any]) -> None:
    """Rounded half up, cached tokens within the prompt; nothing at no price."""
    store = new_store(tmp_path)
    present = store.prices.all() or store.prices.set_all(PRICES, "test")
    book = {record.version: record for record in present}
    values = [
        {"request": n, "n": 1, "upstream": "u", "cost": 0, "price_version": version}
        | {"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": completion}
        | {"estimated": 0}
        for n, (prompt, cached, completion, version) in enumerate(found)
    ]
    with store.database.writing() as connection:
        connection.execute(attempt.delete())
        if values:
            connection.execute(attempt.insert(), values)
        chosen = sqlalchemy.select(attempt, worth_sql(attempt).label("worth"))
        for row in connection.execute(at_price(chosen, attempt.c.price_version)):
            record = book.get(row.price_version, PriceRecord(version=0, model="", effective_us=0))
            usage = Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens)
            assert row.worth == worth_of(row, record) == charge(usage, record)
    store.close()


@pytest.mark.parametrize("field", ["input_pico", "cached_input_pico", "output_pico"])
def test_huge_prices(field: str) -> None:
    """Of tokens beyond what 64 bits take of many of them, of a request beyond what one may cost."""
    usual = PriceRecord(version=1, model="m", effective_us=1, **{field: PICO_IN_SQL_MAX})  # type: ignore[arg-type]
    huge = msgspec.structs.replace(usual, version=2, **{field: PICO_IN_SQL_MAX + 1})
    dear = msgspec.structs.replace(usual, version=3, request_nano=HOLD_NANO_MAX)
    too_dear = msgspec.structs.replace(usual, version=4, request_nano=HOLD_NANO_MAX + 1)
    assert [2, 4] == one_by_one([usual, huge, dear, too_dear])


def test_which_are_worked_out_row_by_row(tmp_path: pathlib.Path) -> None:
    """Those at huge prices, or with kinds of tokens; a row without counts is worth nothing."""
    store = new_store(tmp_path)
    assert [4, 5] == one_by_one(store.prices.set_all(PRICES, "test"))
    with store.database.reading() as connection:
        none = sqlalchemy.select(sqlalchemy.null().label("prompt_tokens")).select_from(price)
        row = connection.execute(none.limit(1)).one()
    assert 0 == worth_of(row, PRICES[0])
    store.close()


def test_a_row_is_worth_what_it_can_be_charged(tmp_path: pathlib.Path) -> None:
    """A count that nobody told is none; and no row is worth more than the book takes."""
    store = new_store(tmp_path)
    told: dict[str, int | None] = dict.fromkeys(COUNTS)
    with store.database.reading() as connection:

        def row(prompt_tokens: int) -> Any:
            values = {**told, "prompt_tokens": prompt_tokens}
            columns = [
                sqlalchemy.literal(value, sqlalchemy.BigInteger).label(name)
                for name, value in values.items()
            ]
            return connection.execute(sqlalchemy.select(*columns)).one()

        assert 3 == worth_of(row(2), PRICES[0])
        highest = msgspec.structs.replace(PRICES[0], input_pico=10**15)
        assert AMOUNT_NANO_MAX == worth_of(row(10**9), highest)
    store.close()
