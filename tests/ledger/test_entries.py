"""Rows: the book's columns and the Structs say the same."""

import msgspec
import pytest

from baton.ledger.entries import (
    ATTEMPT_COLUMNS,
    END_COLUMNS,
    HOLD_COLUMNS,
    CheckpointRow,
    EndRow,
    HoldRow,
    Intent,
    Payer,
    SettleRow,
    tokens_used,
)
from baton.stores.base import AttemptRecord, RequestRecord
from baton.stores.tables import attempt, request


def test_attempt_table_has_every_column() -> None:
    """A row of an attempt goes to the book by position."""
    assert ["request", "n", *ATTEMPT_COLUMNS] == [column.name for column in attempt.columns]
    assert {column.name for column in attempt.columns} == set(AttemptRecord.__struct_fields__)


def test_request_table_has_every_column() -> None:
    """What the journal tells of a request, the book keeps, and reports give back."""
    expected = {"id", *HOLD_COLUMNS, *END_COLUMNS}
    assert expected == {column.name for column in request.columns}
    assert expected == set(RequestRecord.__struct_fields__)


def test_what_counts_against_quotas() -> None:
    """The prompt and all that was generated; nothing of what was released; unknown counts as 0."""
    assert [15, 10, 0, 0] == [
        tokens_used(EndRow(state="settled", prompt_tokens=10, completion_tokens=5)),
        tokens_used(EndRow(state="interrupted", prompt_tokens=10)),
        tokens_used(EndRow(state="released", prompt_tokens=10, completion_tokens=5)),
        tokens_used(EndRow(state="settled")),
    ]


def test_what_a_request_counts_at_most() -> None:
    """Its prompts, and every completion as long as it may be."""
    intent = Intent(
        request_id="r",
        payer=Payer("key_1", "key:key_1"),
        model="m",
        prompt_tokens_max=20,
        completions=3,
        max_tokens=10,
        created_us=7,
    )
    assert 20 + 3 * 10 == intent.tokens_max


def test_a_number_is_what_a_column_takes() -> None:
    """64 bits with a sign, to the last one."""
    for number in (-(2**63), 0, 2**63 - 1):
        assert CheckpointRow(1, number, 3, 4) == msgspec.convert((1, number, 3, 4), CheckpointRow)
    for number in (-(2**63) - 1, 2**63):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert((1, number, 3, 4), CheckpointRow)


def test_an_end_of_which_little_is_told() -> None:
    """What rows of a journal lack at their end, and where it stands."""
    row = ("", "settled", 0, 0, 0, *[None] * 8, False, *[None] * 4, 200, None, None, "", 0, 1, None)
    assert row == msgspec.structs.astuple(EndRow(state="settled"))
    assert EndRow(state="released", upstream="u") == msgspec.convert(("u", "released"), EndRow)


def test_rows_are_stored_as_they_are() -> None:
    """Whether they can be read again is not known of them."""
    hold = HoldRow("r", 7, "key_1", "key:key_1", "", "m", None, False, 40, 3)
    settle = SettleRow(11, hold, EndRow(state="settled"))
    assert (hold, (hold, False)) == (hold.row, hold.stored())
    assert settle is settle.row
    assert ((12, 11, hold, settle.end, ()), False) == settle.stored(12)
