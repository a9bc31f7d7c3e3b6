"""The tables of what is kept sealed: of the book's metadata, so that copies have them."""

from baton.stores import kept_tables, tables


def test_they_are_tables_of_the_book() -> None:
    """Migrations, comparisons and copies of the book see them, and those about journals."""
    names = {"idempotency", "content", "tenure", "key"}
    assert names <= kept_tables.metadata.tables.keys()
    assert tables.metadata is kept_tables.metadata
