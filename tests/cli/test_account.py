"""`baton account`: organisations, teams and users from the command line."""

import pytest

from tests.cli.conftest import Cli


def test_a_tree_of_accounts(cli: Cli) -> None:
    """Made by name under one another, listed, and found as the parents of keys."""
    acme = cli.ok("account", "create", "organisation", "Acme", "--budget", "50/month@Asia/Tokyo")
    core = cli.ok("account", "create", "team", "Core", "--in", "Acme", "--requests-at-once", "4")
    ann = cli.ok("account", "create", "user", "ann", "--in", core["id"], "--quota", "1000/day")
    assert [acme["id"], core["id"]] == [core["parent"], ann["parent"]]
    assert (["$50.00/month@Asia/Tokyo"], 4, ["1000 tokens/day"]) == (
        *(acme["budgets"], core["requests_at_once"]),
        ann["budgets"],
    )
    listed = cli("account", "list", "--json").json
    assert ["Acme", "Core", "ann"] == [each["name"] for each in listed]
    assert ["Core"] == [each["name"] for each in cli("account", "list", "team", "--json").json]
    assert {"$50.00/month@Asia/Tokyo": "$0.00"} == cli.ok("account", "show", "Acme")["used"]
    key = cli.ok("key", "create", "ann's", "--owner", "ann", "--quota", "50/day", "--budget", "5")
    assert (ann["id"], "5.00", ["50 tokens/day"]) == (
        *(key["owner"], key["budget_usd"]),
        key["budgets"],
    )


def test_changes_touch_what_is_given(cli: Cli) -> None:
    """What is given changes, what is cleared goes, the rest stays."""
    words = "--budget 5/day --requests-per-minute 9 --model a --network 10.0.0.0/8"
    cli.ok("account", "create", "organisation", "Acme", *words.split())
    after = cli.ok("account", "change", "Acme", "--name", "New", "--clear", "requests_per_minute")
    assert ("New", None, ["$5.00/day"], ["a"], ["10.0.0.0/8"]) == (
        *(after["name"], after["requests_per_minute"], after["budgets"]),
        *(after["models"], after["networks"]),
    )
    after = cli.ok("account", "change", "New", "--budget", "7", "--clear", "models")
    assert (["$7.00"], []) == (after["budgets"], after["models"])
    assert after == cli.ok("account", "change", "New")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("create planet Earth", "not organisation, team or user"),
        ("create team Core", "belongs to an organisation"),
        ("create team Core --in Nobody", "no account 'Nobody'"),
        ("create organisation Acme", "already"),
        ("create organisation New --network nowhere", "networks"),
        ("create organisation New --budget 5/year", "a window is one of"),
        ("change Acme --clear everything", "there is only"),
        ("show Nobody", "no account"),
        ("close twin", "several accounts"),
        ("create organisation A/B", "no '/' in the name"),
        ("change Acme --name A/B", "no '/' in the name"),
        ("create organisation A\x07B", "control characters"),
    ],
)
def test_what_cannot_be(cli: Cli, words: str, part: str) -> None:
    """Exit code 1, a message that says why, and nothing is changed."""
    cli.ok("account", "create", "organisation", "Acme")
    cli.ok("account", "create", "organisation", "twin")
    cli.ok("account", "create", "team", "twin", "--in", "Acme")
    before = cli("account", "list", "--json").json
    done = cli("account", *words.split())
    assert (1, True) == (done.code, part in done.err), done.err
    assert before == cli("account", "list", "--json").json


def test_closing(cli: Cli) -> None:
    """A closed account says so, and takes nobody in."""
    cli.ok("account", "create", "organisation", "Acme")
    assert "closed" == cli.ok("account", "close", "Acme")["state"]
    assert "is closed" in cli("account", "create", "team", "Core", "--in", "Acme").err


def test_keys_that_run_a_team(cli: Cli) -> None:
    """A team admin's key belongs to the team that it runs; a billing reader's to nobody."""
    cli.ok("account", "create", "organisation", "Acme")
    assert "give its --owner" in cli("key", "create", "boss", "--role", "team_admin").err
    made = cli.ok("key", "create", "boss", "--role", "team_admin", "--owner", "Acme")
    assert "team_admin" == made["role"]
    assert "billing" == cli.ok("key", "create", "reader", "--role", "billing")["role"]
    assert 1 == cli("key", "create", "odd", "--role", "root").code


def test_rotation(cli: Cli) -> None:
    """The new value is on standard output alone; the end of the old one on standard error."""
    first = cli.ok("key", "create", "k")
    done = cli("key", "rotate", "k", "--overlap", "2h")
    assert (0, True) == (done.code, done.out.startswith("sk-bt-"))
    assert first["value"] != done.out.strip()
    assert "stays valid until" in done.err
    shown = cli.ok("key", "show", "k")
    assert first["id"] == shown["id"]
    assert shown["previous_until"] is not None
