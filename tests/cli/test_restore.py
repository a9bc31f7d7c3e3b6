"""`baton restore`: a backup becomes a home again."""

import shutil

from tests.cli.conftest import Cli


def test_there_and_back(cli: Cli) -> None:
    """What was there at the backup is there again, in a home that had nothing; one that has a
    book keeps it."""
    copy = cli.home.parent / "copy"
    cli.ok("key", "create", "kept")
    cli.ok("backup", str(copy))
    assert 1 == cli("restore", str(copy)).code
    shutil.rmtree(cli.home)
    done = cli.ok("restore", str(copy))
    assert ("restored", ["baton.db", "master.key"]) == (done["state"], done["files"])
    assert ["kept"] == [key["name"] for key in cli.ok("key", "list") if key["name"] == "kept"]
    assert [] == cli.ok("audit")["faults"]


def test_what_is_no_backup(cli: Cli) -> None:
    """It is refused, and the home stays empty; without its master key a backup says so."""
    empty = cli.home.parent / "empty"
    empty.mkdir()
    assert 1 == cli("restore", str(empty)).code
    assert not cli.home.exists() or not (cli.home / "baton.db").exists()
    copy = cli.home.parent / "copy"
    cli.ok("key", "create", "kept")
    cli.ok("backup", str(copy), "--without-master-key")
    shutil.rmtree(cli.home)
    assert "BATON_MASTER_KEY" in cli.ok("restore", str(copy))["note"]
