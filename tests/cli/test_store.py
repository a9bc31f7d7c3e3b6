"""`baton store`: old requests go to a file, the schema is brought up, the book moves."""

import asyncio
import gzip

import pytest
from sqlalchemy import text

from baton.cli.opened import opened
from baton.ledger.slots import claim
from baton.running import marked
from baton.stores import migrate, rekey
from baton.stores.base import Unsealable
from baton.stores.book import Store, book_path, journal_folder
from baton.stores.master import master_key
from baton.stores.rekey import reseal
from tests.bookkeeping import intent, ledger_of, outcome
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


def test_migrate_back(cli: Cli) -> None:
    """To an earlier schema and up again, with Baton stopped; what goes by that has to be agreed to,
    and is told."""
    cli("key", "create", "alice", "--keep-content-days", "2")
    assert "--yes goes with --to" in cli("store", "migrate", "--yes").err
    back = ["store", "migrate", "--to", "0007"]
    assert "no place for keys that keep contents (1): --yes" in cli(*back).err
    with marked(cli.home):
        assert "stop it first" in cli(*back, "--yes").err
    slot = claim(journal_folder(cli.home))
    (journal_folder(cli.home) / "0").mkdir()
    assert "stop Baton" in cli(*back, "--yes").err
    slot.release()
    (journal_folder(cli.home) / "0").rmdir()
    told = cli.ok(*back, "--yes")
    assert (migrate.HEAD, "0007") == (told["before"], told["after"])
    assert {"keys that keep contents": 1} == told["dropped"]
    assert ("0007", "0009") == tuple(cli.ok(*back[:3], "0009").values())[1:3]
    assert ("0009", migrate.HEAD) == tuple(cli.ok("store", "migrate").values())[1:]
    assert [] == cli.ok("audit")["faults"]


def test_migrate_back_leaves_no_journal_behind(cli: Cli) -> None:
    """What only a journal has, an older Baton may not be able to read; up it does not matter."""
    cli("key", "create", "alice")

    async def spend(store: Store) -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(store.keys.all()[0]))
            await ledger.durable(ledger.settle(hold, outcome()))

    with opened() as store:
        asyncio.run(spend(store))
        with store.database.writing() as connection:
            connection.execute(text("UPDATE journal SET folded_seq = 0"))
    back = ["store", "migrate", "--to", "0010"]
    assert "1 requests are in journals only: start Baton and stop it" in cli(*back).err
    with opened() as store, store.database.writing() as connection:
        connection.execute(text("UPDATE journal SET folded_seq = 1000"))
    assert "0010" == cli.ok(*back)["after"]
    with opened() as store, store.database.writing() as connection:
        connection.execute(text("UPDATE journal SET folded_seq = 0"))
    assert migrate.HEAD == cli.ok(*back[:3], migrate.HEAD)["after"]


def test_migrate_back_on_a_server(
    cli: Cli, cluster: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, and nothing that is secret in the address is told."""
    monkeypatch.setenv("BATON_DATABASE_URL", cluster.database())
    assert "the first start makes the tables" in cli("store", "migrate", "--to", "0010").err
    key = cli.ok("key", "create", "alice")
    told = cli.ok("store", "migrate", "--to", "0010")
    assert (migrate.HEAD, "0010", {}) == (told["before"], told["after"], told["dropped"])
    assert "0010" == cli.ok("store", "migrate")["before"]
    assert [key["id"]] == [each["id"] for each in cli.ok("key", "list")]


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
    with marked(cli.home):  # as with its journal in the book: no worker has one here
        assert "stop it first" in cli("store", "copy", "--to", url).err
    assert 1 == cli.ok("store", "copy", "--to", url)["rows"]["key"]
    assert "not empty" in cli("store", "copy", "--to", url).err
    monkeypatch.setenv("BATON_DATABASE_URL", url)
    assert before == cli.ok("key", "list")
    assert migrate.HEAD == cli.ok("store", "migrate")["before"]


def with_secret(cli: Cli) -> None:
    place = ["--url", "http://127.0.0.1:9/v1", "--dialect", "openai", "--model", "m"]
    assert 0 == cli("upstream", "add", "far", *place, "--key", "sk-canary").code


def secret() -> str | None:
    with opened() as store:
        return store.upstreams.get("far", secrets=True).secret


def test_rekey(cli: Cli) -> None:
    """The file has another key, under which the provider keys open; a copy that was made before has
    its own. Not while Baton runs."""
    with_secret(cli)
    first = (cli.home / "master.key").read_text()
    with marked(cli.home):
        assert "stop it first" in cli("store", "rekey").err
    slot = claim(journal_folder(cli.home))
    (journal_folder(cli.home) / "0").mkdir()
    assert "stop Baton" in cli("store", "rekey").err
    slot.release()
    assert first == (cli.home / "master.key").read_text()
    told = {"upstreams": 1, "contents": 0, "answers_forgotten": 0}
    assert told | {"key": str(cli.home / "master.key")} == cli.ok("store", "rekey")
    assert first != (cli.home / "master.key").read_text()
    assert "sk-canary" == secret()


def test_rekey_again(cli: Cli) -> None:
    """What broke off between the book and the file is finished by the same command; a copy of that
    moment has both keys, or none of them."""
    with_secret(cli)
    with opened() as store:
        before = master_key("", cli.home)
        reseal(store.database, before, rekey.begin(cli.home, None), "cli")
    for words, expected in (([], 2), (["--without-master-key"], 0)):
        copy = cli.home.parent / f"copy{expected}"
        assert 0 == cli("backup", str(copy), *words).code
        assert expected == len(list(copy.glob("master.key*")))
    with pytest.raises(Unsealable):
        secret()
    assert 0 == cli.ok("store", "rekey")["upstreams"]
    assert "sk-canary" == secret()


def test_rekey_of_a_setting(cli: Cli, cluster: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new key comes from a variable, on either book; the operator sets it afterwards."""
    monkeypatch.setenv("BATON_DATABASE_URL", cluster.database())
    monkeypatch.setenv("BATON_MASTER_KEY", "0a" * 32)
    assert "--key-variable" in cli("store", "rekey").err
    assert "NEW must be 32 bytes" in cli("store", "rekey", "--key-variable", "NEW").err
    monkeypatch.setenv("NEW", "0b" * 32)
    assert "baton store migrate" in cli("store", "rekey", "--key-variable", "NEW").err
    with_secret(cli)
    told = cli.ok("store", "rekey", "--key-variable", "NEW")
    assert (1, "set BATON_MASTER_KEY to $NEW") == (told["upstreams"], told["key"])
    assert not list(cli.home.glob("master.key*"))
    with pytest.raises(Unsealable):
        secret()
    monkeypatch.setenv("BATON_MASTER_KEY", "0b" * 32)
    assert "present" in cli("store", "rekey", "--key-variable", "NEW").err
    assert "sk-canary" == secret()
