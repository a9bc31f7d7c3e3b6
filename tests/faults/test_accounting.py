"""The comparison itself: an exact ledger has no offence, and each planted fault is found."""

import dataclasses
from typing import Any

import pytest

from tests.faults.accounting import Book, Price, Row, Whole, offences

PRICE = Price(input_pico=37_500, output_pico=150_500)
ANSWER = Whole("cmpl-1", 7, 3, stream=True)
CHARGE = 714
"""7 × 37.5 + 3 × 150.5 = 714.0 nano-USD"""
ROW = Row("cmpl-1", "acct", "settled", 5000, CHARGE, 0, 7, 3)
CUT = Row("cmpl-2", "acct", "interrupted", 5000, 100, 0, 7, None)
BOOK = Book([ROW, CUT], {"acct": CHARGE + 100}, 0)


def test_exact_ledger() -> None:
    """One settled answer and one interrupted request: nothing to complain about."""
    assert offences([ANSWER], BOOK, PRICE) == []


def test_rounding() -> None:
    """Half a nano-USD is rounded up, once for the whole request."""
    assert PRICE.charge(1, 0) == 38
    assert PRICE.charge(1, 1) == 188


PLANTED: dict[str, dict[str, Any]] = {
    "lost": {"rows": [CUT], "posted": {"acct": 100}},
    "twice": {"rows": [ROW, ROW, CUT], "posted": {"acct": 2 * CHARGE + 100}},
    "not settled": {"rows": [dataclasses.replace(ROW, state="interrupted"), CUT]},
    "one nano less": {
        "rows": [dataclasses.replace(ROW, charge=CHARGE - 1), CUT],
        "posted": {"acct": CHARGE + 99},
    },
    "other tokens": {"rows": [dataclasses.replace(ROW, completion_tokens=4), CUT]},
    "still reserved": {"rows": [ROW, dataclasses.replace(CUT, state="reserved")]},
    "beyond its hold": {"rows": [ROW, dataclasses.replace(CUT, hold=99)]},
    "released, charged": {"rows": [ROW, dataclasses.replace(CUT, state="released")]},
    "balance": {"posted": {"acct": CHARGE}},
    "entries": {"entries_total": 1},
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_found(fault: str) -> None:
    """Exactly this fault, told once."""
    book = dataclasses.replace(BOOK, **PLANTED[fault])
    assert len(offences([ANSWER], book, PRICE)) == 1
