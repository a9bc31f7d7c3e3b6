"""What a start sees of a book without SQLAlchemy is what the book itself says."""

import contextlib
import pathlib

import pytest

from baton.stores import glance
from baton.stores.base import StoreError
from tests.bookkeeping import new_key, new_store


def test_a_book_at_a_glance(tmp_path: pathlib.Path) -> None:
    """No file, then the newest schema with its keys."""
    book = tmp_path / glance.FILE_NAME
    assert glance.revision(book) is None
    with contextlib.closing(new_store(tmp_path)) as store:
        new_key(store, "user")
        stored = [(record.role, record.digest) for record in store.keys.all()]
    assert glance.HEAD == glance.revision(book)
    assert stored == glance.keys(book)


def test_what_is_no_book(tmp_path: pathlib.Path) -> None:
    """An empty file has no schema yet; any other file is refused with a sentence."""
    book = tmp_path / glance.FILE_NAME
    book.touch()
    assert glance.revision(book) is None
    book.write_bytes(b"not a book" * 100)
    for look in (glance.revision, glance.keys):
        with pytest.raises(StoreError, match=r"baton\.db"):
            look(book)


def test_journals_of_an_earlier_baton(tmp_path: pathlib.Path) -> None:
    """A file of SQLite among them; a folder that is not there, and a log, are none."""
    glance.refuse_earlier(tmp_path / "missing")
    (tmp_path / "0").mkdir()
    glance.refuse_earlier(tmp_path)
    (tmp_path / "3.db").touch()
    with pytest.raises(StoreError, match=r"3\.db is the journal of an earlier Baton: start that"):
        glance.refuse_earlier(tmp_path)
