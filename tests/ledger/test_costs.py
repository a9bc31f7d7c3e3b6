"""Costs of attempts: each at the price of its upstream, rounded once each."""

import msgspec

from baton.ledger import costs
from baton.ledger.prices import AMOUNT_NANO_MAX, FREE, HOLD_NANO_MAX, PriceBook
from baton.semantics.events import Usage
from baton.stores.base import PriceRecord

DEAR = PriceRecord(
    version=7, model="m", upstream="dear", effective_us=1, input_pico=2_000, output_pico=500
)
CHEAP = PriceRecord(version=8, model="m", upstream="cheap", effective_us=1, input_pico=1)
BOOK = PriceBook([DEAR, CHEAP])


def test_each_attempt_at_its_own_price() -> None:
    """In order, with the version that each was priced by; together they are the cost."""
    spent = [("dear", Usage(10, 3)), ("cheap", Usage(500, 0)), ("own", Usage(9, 9))]
    cost = costs.of_attempts(BOOK, "m", 5, spent)
    assert [(22, 7), (1, 8), (0, 0)] == [(row.cost, row.price_version) for row in cost.spent]
    assert (23, None) == (cost.amount, cost.version)
    assert ["dear", "cheap", "own"] == [row.upstream for row in cost.spent]


def test_nonsense_is_made_possible_first() -> None:
    """What an upstream cannot have used is cut to what it can, as in the charge; and marked."""
    (row,) = costs.of_attempts(BOOK, "m", 5, [("dear", Usage(-5, 2, cached_tokens=9))]).spent
    assert (1, 0, True) == (row.cost, row.prompt_tokens, row.estimated)


def test_before_a_price_holds_there_is_none() -> None:
    """Nothing is owed where no cost was set, whatever was used."""
    (row,) = costs.of_attempts(BOOK, "m", 0, [("dear", Usage(10, 3))]).spent
    assert (0, 0) == (row.cost, row.price_version)
    assert 0 == costs.amount(Usage(10, 3), FREE)
    assert 22 == costs.amount(Usage(10, 3), DEAR)


def test_a_cost_is_bounded() -> None:
    """What a price of a wrong unit makes stays within what the book can add up: of each attempt,
    and of all of a request."""
    wrong = PriceBook([msgspec.structs.replace(DEAR, request_nano=HOLD_NANO_MAX)])
    cost = costs.of_attempts(wrong, "m", 5, [("dear", Usage(10, 3))])
    assert HOLD_NANO_MAX == cost.amount == cost.spent[0].cost
    many = AMOUNT_NANO_MAX // HOLD_NANO_MAX + 1
    assert (
        AMOUNT_NANO_MAX == costs.of_attempts(wrong, "m", 5, many * [("dear", Usage(1, 0))]).amount
    )
