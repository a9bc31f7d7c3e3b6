"""`baton key`: values are shown once, options land in the store, nothing leaks."""

import hashlib
import pathlib

import pytest

from tests.cli.conftest import Cli

OLD = "sk-from-another-relay-0001"


def test_created_key_is_shown_once_and_stored_as_digest(cli: Cli) -> None:
    """The value is on standard output alone; the list recognises it by its ends only."""
    done = cli("key", "create", "alice")
    value = done.out.strip()
    assert (0, True) == (done.code, value.startswith("sk-bt-"))
    listed = cli("key", "list", "--json")
    assert value not in listed.out
    assert hashlib.sha256(value.encode()).hexdigest() == listed.json[0]["sha256"]
    assert value not in cli("key", "list").out + cli("key", "show", "alice").out


def test_options_are_kept(cli: Cli) -> None:
    """Each option stands on the stored key."""
    words = "--admin --model a --model b --default-model a --requests-per-minute 60 --budget 2.5"
    made = cli.ok("key", "create", "bob", *words.split(), "--strict", "--plain-text")
    shown = cli.ok("key", "show", made["id"])
    expected = {
        "name": "bob",
        "role": "admin",
        "models": ["a", "b"],
        "default_model": "a",
        "requests_per_minute": 60,
        "budget_usd": "2.50",
        "strict": True,
        "deterministic": False,
        "parse_special": False,
        "state": "active",
        "spent_usd": "0.00",
    }
    assert expected == {name: shown[name] for name in expected}


def test_the_list_shows_every_budget(cli: Cli) -> None:
    """The one in all and those of windows, in money and tokens, in one column."""
    words = "--budget 2.5 --budget 5/month@Asia/Shanghai --quota 100/day"
    cli.ok("key", "create", "bob", *words.split())
    cli.ok("key", "create", "carol")
    shown = cli("key", "list").out
    assert "$2.50, $5.00/month@Asia/Shanghai, 100 tokens/day" in shown
    assert "Budgets" in shown


def test_content_is_kept_where_it_is_said(
    cli: Cli, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its making or later, within the setting, 0 for never; a file declares it likewise."""
    assert 0 == cli.ok("key", "create", "plain")["keep_content_days"]
    made = cli.ok("key", "create", "kept", "--keep-content-days", "30")
    assert 30 == made["keep_content_days"] == cli.ok("key", "show", "kept")["keep_content_days"]
    assert 7 == cli.ok("key", "keep-content", "kept", "7")["keep_content_days"]
    exported = cli("export").out
    assert "keep_content_days = 7" in exported
    monkeypatch.setenv("BATON_CONTENT_DAYS_MAX", "5")
    for words in (["create", "more", "--keep-content-days", "6"], ["keep-content", "plain", "6"]):
        refused = cli("key", *words)
        assert 1 == refused.code
        assert "at most 5" in refused.err
    assert 6 == cli.ok("key", "keep-content", "kept", "6")["keep_content_days"]
    assert 0 == cli.ok("key", "keep-content", "kept", "0")["keep_content_days"]
    file = tmp_path / "declared.toml"
    file.write_text(exported)
    assert "at most 5" in cli("apply", str(file)).err
    assert 0 == cli.ok("key", "show", "kept")["keep_content_days"]
    monkeypatch.setenv("BATON_CONTENT_DAYS_MAX", "7")
    cli("apply", str(file))
    assert 7 == cli.ok("key", "show", "kept")["keep_content_days"]


def test_revoked_key_says_so(cli: Cli) -> None:
    """revoke ends a key; its row stays, and its name may be used again."""
    first = cli.ok("key", "create", "carol")
    assert "revoked" == cli.ok("key", "revoke", "carol")["state"]
    second = cli.ok("key", "create", "carol")
    assert second["id"] == cli.ok("key", "show", "carol")["id"] != first["id"]


def test_several_of_one_name_need_an_id(cli: Cli) -> None:
    """Nothing is done to a guess."""
    ids = [cli.ok("key", "create", "dave")["id"] for _ in range(2)]
    done = cli("key", "revoke", "dave")
    assert 1 == done.code
    assert all(key_id in done.err for key_id in ids)


def test_import_by_value_and_by_digest(cli: Cli) -> None:
    """A key of another relay works by its value on stdin or its SHA-256, and only once."""
    digest = hashlib.sha256(OLD.encode()).hexdigest()
    assert digest == cli.ok("key", "import", "old", stdin=f"{OLD}\n")["sha256"]
    again = cli("key", "import", "again", "--sha256", digest)
    assert (1, True) == (again.code, "stored already" in again.err)
    other = hashlib.sha256(b"sk-unknown").hexdigest()
    assert other == cli.ok("key", "import", "other", "--sha256", other)["sha256"]


def test_what_is_no_key_is_refused(cli: Cli) -> None:
    """A short or empty value is not stored."""
    assert 1 == cli("key", "import", "bad", stdin="sk-short\n").code
    assert 1 == cli("key", "import", "bad", stdin="").code
    assert [] == cli.ok("key", "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--budget 5 --budget 50", "two budgets of money in all"),
        ("--quota 5/day --quota 50/day", "key eve: Invalid 'budgets': two budgets of tokens"),
        ("--model a --default-model b", "key eve: The default model is not among the key's models"),
        ("--admin --role billing", "--admin and --role billing are two roles"),
    ],
)
def test_options_that_contradict_each_other(cli: Cli, words: str, said: str) -> None:
    """One of them would be ignored in silence."""
    made = cli("key", "create", "eve", *words.split())
    assert (1, True) == (made.code, said in made.err)
    assert [] == cli.ok("key", "list")


def test_expiry_must_lie_ahead(cli: Cli) -> None:
    """An expired key cannot be made; a span counts from now."""
    assert 1 == cli("key", "create", "eve", "--expires", "2020-01-01").code
    assert cli.ok("key", "create", "eve", "--expires", "30d")["expires"] is not None
