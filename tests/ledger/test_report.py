"""Reports as they are handed out."""

import csv
import io

import msgspec

from baton.ledger.currency import Currency
from baton.ledger.report import as_csv, line, percent
from baton.stores.base import UsageRecord

RECORD = UsageRecord(
    day="2026-11-22",
    end_user='=HYPERLINK("x"),y',
    requests=8,
    failed=1,
    prompt_tokens=300,
    cached_tokens=100,
    completion_tokens=5,
    charge_nano=2_000_000_000,
    cost_nano=2_500_000_000,
    estimated=2,
)


def test_shares_and_margin() -> None:
    """Shares of tokens and requests; a loss is a negative margin, in any currency."""
    found = line(RECORD, Currency("EUR", 500_000))
    assert (33.33, 25.0) == (found.cached_percent, found.estimated_percent)
    assert (-500_000_000, "-0.25") == (found.margin_nano, found.margin)
    assert ("EUR", "1.00", "1.25") == (found.currency, found.charge, found.cost)
    assert 0.0 == percent(0, 0)


def test_tables_hold_what_was_asked_for() -> None:
    """Only the groups of the report are columns; a text cannot become a formula or a column."""
    [row] = csv.DictReader(io.StringIO(as_csv([line(RECORD)], ("day", "end_user"))))
    assert ("2026-11-22", '\'=HYPERLINK("x"),y') == (row["day"], row["end_user"])
    assert ("8", "-0.50") == (row["requests"], row["margin"])
    for text in ("-1+1", "@x", "\tx", "+1"):
        hostile = line(msgspec.structs.replace(RECORD, end_user=text))
        [row] = csv.DictReader(io.StringIO(as_csv([hostile], ("end_user",))))
        assert f"'{text}" == row["end_user"]
    assert "model" not in row
