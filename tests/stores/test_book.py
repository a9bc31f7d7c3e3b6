"""The store as a whole: made at first, opened again, refused where it cannot be."""

import pathlib

import pytest

from baton.stores import migrate
from baton.stores.base import StoreError
from baton.stores.book import book_path, journal_folder, open_store
from tests.bookkeeping import PRICE, new_key, settings


def test_first_and_second_start(tmp_path: pathlib.Path) -> None:
    """The home is made, private to its owner; what was stored is there the next time."""
    home = tmp_path / "deep" / "home"
    store = open_store(settings(home))
    key, price = new_key(store), store.prices.set(PRICE, "test")
    assert 2 == store.catalogue().version
    store.close()
    assert 0o700 == home.stat().st_mode & 0o777
    again = open_store(settings(home))
    assert [key] == again.keys.all()
    assert (price,) == again.catalogue().prices
    again.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "postgres", "sqlite:///book.db"])
def test_other_databases_are_refused(tmp_path: pathlib.Path, url: str) -> None:
    """A URL of anything but PostgreSQL is not silently ignored."""
    with pytest.raises(StoreError, match="BATON_DATABASE_URL"):
        open_store(settings(tmp_path, database_url=url))
    assert not book_path(tmp_path).exists()


def test_a_journal_within_the_book_needs_a_server(tmp_path: pathlib.Path) -> None:
    """BATON_JOURNAL=shared without PostgreSQL would be no journal at all."""
    with pytest.raises(StoreError, match="BATON_DATABASE_URL"):
        open_store(settings(tmp_path, database_url="", journal="shared"))


def test_journals_of_an_earlier_baton(tmp_path: pathlib.Path) -> None:
    """Only that one folds them, and it knows its own schema alone: the book stays as it is."""
    migrate.bring_up(book_path(tmp_path))
    migrate.move(book_path(tmp_path), "0009")
    journal_folder(tmp_path).mkdir()
    (journal_folder(tmp_path) / "0.db").touch()
    with pytest.raises(StoreError, match=r"0\.db is the journal of an earlier Baton"):
        open_store(settings(tmp_path))
    assert "0009" == migrate.revision(book_path(tmp_path))
