"""Rows: the book's columns and the Structs say the same."""

from baton.ledger.entries import (
    ATTEMPT_COLUMNS,
    END_COLUMNS,
    HOLD_COLUMNS,
    EndRow,
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
