"""The tables of how upstreams fared: of the book's metadata."""

from baton.stores import history_tables, journal_tables, tables


def test_they_are_tables_of_the_book() -> None:
    """Migrations, comparisons and copies of the book see them, and those about journals."""
    names = {"upstream_slot", "upstream_first", "upstream_change"}
    assert names <= history_tables.metadata.tables.keys()
    assert tables.metadata is journal_tables.metadata is history_tables.metadata
