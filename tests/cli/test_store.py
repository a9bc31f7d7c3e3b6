"""`baton store`: old requests go to a file, the schema is brought up, the book moves."""

import gzip

import pytest

from baton.cli.opened import opened
from baton.ledger.slots import claim
from baton.stores import migrate
from baton.stores.book import book_path, journal_folder
from tests.cli.conftest import Cli
from tests.servers import Postgres
from tests.stores.test_contents import heard


def test_prune(cli: Cli) -> None:
    """A new store has nothing old: an empty archive; a young day and a wrong one are refused."""
    file = cli.home.parent / "old.gz"
    words = ["store", "prune", "--archive", str(file), "--before"]
    told = {"requests": 0, "charge": "0.00", "archive": str(file), "windows": 0, "contents": 0}
    assert told == cli.ok(*words, "2020-01-01")
    assert b"" == gzip.decompress(file.read_bytes())
    assert 1 == cli(*words, "2020-01-01").code
    file.unlink()
    assert 1 == cli(*words, "2999-01-01").code
    assert 1 == cli(*words, "yesterday").code


def test_prune_covers_contents(cli: Cli) -> None:
    """Those that were kept for long enough go, of whatever day their request was."""
    made = cli.ok("key", "create", "alice", "--keep-content-days", "2")
    with opened() as store:
        key = store.keys.get(made["id"])
        store.contents.keep([heard(key, "old", created_us=7), heard(key, "young")])
    file = str(cli.home.parent / "old.gz")
    assert 1 == cli.ok("store", "prune", "--archive", file, "--before", "2020-01-01")["contents"]


def test_migrate(cli: Cli) -> None:
    """A new book is made, one that is up to date is left as it is."""
    first, second = cli.ok("store", "migrate"), cli.ok("store", "migrate")
    assert ("", migrate.HEAD) == (first["before"], first["after"])
    assert (migrate.HEAD, migrate.HEAD) == (second["before"], second["after"])


def test_migrate_leaves_what_an_earlier_baton_must_fold(cli: Cli) -> None:
    """That one could not open the book any more."""
    cli("store", "migrate")
    migrate.move(book_path(cli.home), "0009")
    journal_folder(cli.home).mkdir()
    (journal_folder(cli.home) / "0.db").touch()
    assert "earlier Baton" in cli("store", "migrate").err
    assert "0009" == migrate.revision(book_path(cli.home))


def test_copy(cli: Cli, cluster: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL the commands find the same keys; not while a worker has its journal, and not
    over anything."""
    url = cluster.database()
    cli("key", "create", "alice")
    before = cli.ok("key", "list")
    assert "--to is no URL" in cli("store", "copy", "--to", "nonsense").err
    slot = claim(journal_folder(cli.home))
    (journal_folder(cli.home) / "0").mkdir()
    assert "stop Baton" in cli("store", "copy", "--to", url).err
    slot.release()
    assert 1 == cli.ok("store", "copy", "--to", url)["rows"]["key"]
    assert "not empty" in cli("store", "copy", "--to", url).err
    monkeypatch.setenv("BATON_DATABASE_URL", url)
    assert before == cli.ok("key", "list")
    assert migrate.HEAD == cli.ok("store", "migrate")["before"]
