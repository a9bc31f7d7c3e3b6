"""Accounts in the TOML file: applied twice nothing changes, exported they make the same."""

import pathlib

import pytest

from baton.cli.opened import opened
from tests.bookkeeping import named_before
from tests.cli.conftest import Cli

FILE = """
[[account]]
kind = "user"
name = "ann"
parent = "Acme/Core"
networks = ["10.0.0.0/8"]

[[account]]
kind = "team"
name = "Core"
parent = "Acme"
requests_per_minute = 60
tokens_per_minute = 6000
requests_at_once = 3
models = ["m"]

[[account]]
kind = "organisation"
name = "Acme"
budgets = ["50/month@Asia/Shanghai", "5/day"]
quotas = ["1000000"]
expires = "2100-01-01T00:00:00Z"

[[key]]
name = "ann's"
sha256 = "00000000000000000000000000000000000000000000000000000000000000aa"
owner = "Acme/Core/ann"
budget_usd = "7"
budgets = ["1/day"]
quotas = ["500/week"]
networks = ["10.1.0.0/16"]
"""


def applied(cli: Cli, folder: pathlib.Path, text: str, *options: str) -> list[tuple[str, str]]:
    file = folder / "accounts.toml"
    file.write_text(text)
    done = cli("apply", str(file), "--json", *options)
    assert 0 == done.code, done.err
    return [(each["action"], each["name"]) for each in done.json]


def test_apply_and_export(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Parents come before what is in them, whatever the file's order; again nothing changes; what
    is exported says the same."""
    assert [
        ("create", "Acme"),
        ("create", "Acme/Core"),
        ("create", "Acme/Core/ann"),
        ("create", "ann's"),
    ] == applied(cli, tmp_path, FILE)
    assert [] == applied(cli, tmp_path, FILE)
    exported = cli("export").out
    assert [] == applied(cli, tmp_path, exported)
    shown = cli.ok("account", "show", "Acme")
    assert ["$5.00/day", "$50.00/month@Asia/Shanghai", "1000000 tokens"] == shown["budgets"]
    key = cli.ok("key", "show", "ann's")
    assert cli.ok("account", "show", "ann")["id"] == key["owner"]
    assert (["$1.00/day", "500 tokens/week"], "7.00") == (key["budgets"], key["budget_usd"])


def test_accounts_of_two_kinds_with_one_path(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team and a user of one name: what belongs to either is exported and made elsewhere; one
    that was closed is not meant."""
    for kind, name, above in (("organisation", "O", ""), ("team", "x", "O"), ("user", "x", "O")):
        cli.ok("account", "create", kind, name, *(["--in", above] if above else []))
    ids = {each["kind"]: each["id"] for each in cli.ok("account", "list")}
    cli.ok("account", "create", "user", "y", "--in", ids["team"])
    for kind in ("team", "user"):
        cli.ok("key", "create", f"{kind}'s", "--owner", ids[kind])
    exported = cli("export").out
    assert [] == applied(cli, tmp_path, exported)
    wrong = exported.replace('owner_kind = "user"', 'owner_kind = "team"')
    assert "it belongs to the user O/x, and" in cli("apply", "-", stdin=wrong).err
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "there"))
    assert 6 == len(applied(cli, tmp_path, exported))
    assert exported.splitlines()[1:] == cli("export").out.splitlines()[1:]
    [user] = [each for each in cli.ok("account", "list") if each["name"] == "x"][1:]
    cli.ok("account", "close", user["id"])
    left = cli("export").out
    assert "owner_kind" not in left
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "there, too"))
    assert 4 == len(applied(cli, tmp_path, left))


def test_names_with_a_slash_from_before(cli: Cli, tmp_path: pathlib.Path) -> None:
    """They are exported, and what the file says of them is applied; elsewhere none is made so."""
    made = cli.ok("account", "create", "organisation", "O")
    cli.ok("account", "create", "team", "x", "--in", "O")
    cli.ok("key", "create", "k", "--owner", "x")
    with opened() as store:
        named_before(store, made["id"], "O/P")
    exported = cli("export").out
    assert [] == applied(cli, tmp_path, exported)
    changed = exported.replace('name = "O/P"\n', 'name = "O/P"\nrequests_per_minute = 5\n')
    assert [("update", "O/P")] == applied(cli, tmp_path, changed)
    assert 5 == cli.ok("account", "change", "O/P", "--model", "m")["requests_per_minute"]
    assert "no '/' in the name" in cli("account", "change", "O/P", "--name", "O/Q").err
    assert "P" == cli.ok("account", "change", "O/P", "--name", "P")["name"]
    assert "account O/P: there is no '/'" in cli("apply", "-", stdin=exported).err


def test_differences_are_brought_about(cli: Cli, tmp_path: pathlib.Path) -> None:
    """A changed limit is updated, one left out is lifted, an account that is not named is closed
    when asked for."""
    applied(cli, tmp_path, FILE)
    changed = FILE.replace("requests_per_minute = 60\n", "").replace('"5/day"', '"6/day"')
    assert [("update", "Acme"), ("update", "Acme/Core")] == applied(cli, tmp_path, changed)
    assert cli.ok("account", "show", "Core")["requests_per_minute"] is None
    some = FILE[FILE.index('[[account]]\nkind = "team"') : FILE.index("[[key]]")]
    found = applied(cli, tmp_path, some, "--prune")
    assert {("close", "Acme/Core/ann"), ("revoke", "ann's")} <= set(found)
    assert "ann" not in cli("export").out


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('parent = "Acme"\n', 'parent = "Nobody"\n', "no account 'Nobody'"),
        ("5/day", "5/year", "a window is one of"),
        ("10.0.0.0/8", "nowhere", "networks"),
        ('name = "Core"', 'name = "Co/re"', "account Acme/Co/re: there is no '/'"),
        ('owner = "Acme/Core/ann"', 'owner = "Acme/ann"', "no account 'Acme/ann'"),
    ],
)
def test_what_cannot_be(cli: Cli, tmp_path: pathlib.Path, old: str, new: str, part: str) -> None:
    """The message names what is wrong, a dry run's too; nothing is changed."""
    file = tmp_path / "wrong.toml"
    file.write_text(FILE.replace(old, new))
    for options in ([], ["--dry-run"]):
        done = cli("apply", str(file), *options)
        assert (1, True) == (done.code, part in done.err), done.err
    assert [] == cli.ok("account", "list")


def test_what_never_changes(cli: Cli, tmp_path: pathlib.Path) -> None:
    """A key's owner, and that an account was closed."""
    applied(cli, tmp_path, FILE)
    file = tmp_path / "wrong.toml"
    file.write_text(FILE.replace('owner = "Acme/Core/ann"', 'owner = "Acme"'))
    assert "no key changes its owner" in cli("apply", str(file)).err
    cli.ok("account", "close", "Acme")
    file.write_text(FILE)
    assert "never comes back" in cli("apply", str(file)).err
