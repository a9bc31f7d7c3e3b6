"""`baton backup`: a copy that holds everything, and a check that sees damage."""

import pathlib

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def used(cli: Cli) -> Cli:
    """A data folder with a key and an upstream in it."""
    cli("key", "create", "alice")
    cli("upstream", "add", "gpu", "--url", "http://h/v1", "--model", "a", "--key", "sk-provider")
    return cli


def test_backup_holds_everything(
    used: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put in place of the data folder it has the same keys, and upstreams with their secrets."""
    before = [used.ok("key", "list"), used.ok("export")]
    assert "whole" == used.ok("backup", str(tmp_path / "copy"))["state"]
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "copy"))
    assert before == [used.ok("key", "list"), used.ok("export")]
    assert [] == used.ok("apply", "-", stdin=used("export").out)


def test_master_key_can_be_left_out(used: Cli, tmp_path: pathlib.Path) -> None:
    """A backup for a place that shall not open provider keys."""
    made = used.ok("backup", str(tmp_path / "a"))
    bare = used.ok("backup", str(tmp_path / "b"), "--without-master-key")
    assert ["master.key"] == sorted(set(made["files"]) - set(bare["files"]))


def test_damage_is_told(used: Cli, tmp_path: pathlib.Path) -> None:
    """A copy that cannot be restored fails the check, and a full folder is not written to."""
    target = tmp_path / "copy"
    used.ok("backup", str(target))
    assert 1 == used("backup", str(target)).code
    assert 0 == used("backup", str(target), "--check").code
    book = target / "baton.db"
    book.write_bytes(book.read_bytes()[:5000])
    assert 1 == used("backup", str(target), "--check").code
