"""The tables about journals: of the book's metadata, and numbered by others."""

from baton.stores import journal_tables, tables


def test_they_are_tables_of_the_book() -> None:
    """Migrations, comparisons and copies of the book see them."""
    names = {"tenure", "shared_row", "shared_checkpoint"}
    assert names <= journal_tables.metadata.tables.keys()
    assert tables.metadata is journal_tables.metadata


def test_no_number_is_made_up_by_the_database() -> None:
    """Journals and rows have their numbers before they come here."""
    made = [journal_tables.tenure, journal_tables.shared_row, journal_tables.shared_checkpoint]
    assert [None] * 3 == [table.autoincrement_column for table in made]
