"""`baton usage`: sums by key, model, upstream and day; a table, bars and JSON."""

import csv
import io

import pytest
from sqlalchemy import select

from baton.cli.opened import opened
from baton.cli.usage import bar
from baton.stores.tables import key, party, usage_day, usage_user
from tests.cli.conftest import Cli


@pytest.fixture
def used(cli: Cli) -> Cli:
    """Two keys, two models, two days."""
    keys = [cli.ok("key", "create", name)["id"] for name in ("alice", "bob")]
    with opened() as store, store.database.writing() as connection:
        for number, (key_id, model, day) in enumerate(
            [(keys[0], "a", 20_000), (keys[0], "b", 20_001), (keys[1], "a", 20_001)], 1
        ):
            row: dict[str, object] = {column.name: 0 for column in usage_day.columns}
            row |= {"day": day, "key_id": key_id, "model": model, "upstream": "u"}
            row |= {"requests": number, "prompt_tokens": 100, "completion_tokens": 10 * number}
            row |= {"charge": number * 10**9}
            connection.execute(usage_day.insert().values(**row))
    return cli


def test_grouped_by_key_with_its_name(used: Cli) -> None:
    """Rows carry the key's name and its id, and exact sums."""
    rows = used.ok("usage", "--by", "key")
    assert [("alice", 3, "3.00"), ("bob", 3, "3.00")] == [
        (row["key"], row["requests"], row["charge_usd"])
        for row in sorted(rows, key=lambda row: str(row["key"]))
    ]
    assert {"day", "model", "upstream"} & set(rows[0]) == set()


def test_by_day_and_model_unless_told_otherwise(used: Cli) -> None:
    """The usual question: what was it each day, of which model."""
    rows = used.ok("usage")
    days = [(row["day"], row["model"]) for row in rows]
    assert [("2024-10-04", "a"), ("2024-10-05", "a"), ("2024-10-05", "b")] == days


def test_filters_narrow_the_sums(used: Cli) -> None:
    """Days, key, model and upstream each leave others out."""
    for words, expected in (
        ("--since 2024-10-05", 5),
        ("--until 2024-10-04", 1),
        ("--key alice", 3),
        ("--model a", 4),
        ("--upstream other", 0),
    ):
        rows = used.ok("usage", "--by", "model", *words.split())
        assert expected == sum(row["requests"] for row in rows)


def test_bars_follow_the_charge(used: Cli) -> None:
    """The dearest row has the whole bar, the others their share."""
    out = used("usage", "--by", "day").out
    assert bar(5, 5) in out
    assert "charge, USD" in out
    assert "2024-10-04" in out


def test_tokens_where_nothing_is_charged(used: Cli) -> None:
    """A free model still has bars."""
    with opened() as store, store.database.writing() as connection:
        connection.execute(usage_day.update().values(charge=0))
    assert "tokens" in used("usage", "--by", "model").out


def test_nothing_used_is_an_empty_table(cli: Cli) -> None:
    """A new Baton has no rows and no bars."""
    assert [] == cli.ok("usage")
    assert "█" not in cli("usage").out


def test_wrong_day_is_refused(cli: Cli) -> None:
    """A day has one way to be written."""
    assert 1 == cli("usage", "--since", "yesterday").code


def test_bar_is_exact_to_an_eighth() -> None:
    """Nothing is no bar, all is the full width, and parts are rounded down to an eighth."""
    assert ["", "▏", "▌", "█", "█▌", "██"] == [bar(n, 16, 2) for n in (0, 1, 4, 8, 12, 16)]


def test_by_party_and_end_user(used: Cli) -> None:
    """Keys' sums add up to those of their parties; users of requests have sums of their own."""
    with opened() as store, store.database.writing() as connection:
        for kind, name, parent in (
            ("organisation", "org", ""),
            ("team", "left", "org"),
            ("user", "ann", "left"),
        ):
            row: dict[str, object] = {"id": name, "kind": kind, "name": name.title()}
            row |= {"parent": parent, "created_us": 1, "models": "[]", "networks": "[]"}
            connection.execute(party.insert().values(**row))
        [alice] = connection.scalars(select(key.c.id).where(key.c.name == "alice"))
        connection.execute(key.update().where(key.c.id == alice).values(owner="ann"))
        for number, user in enumerate(["=x", "y"], 1):
            row = {column.name: number for column in usage_user.columns}
            connection.execute(
                usage_user.insert().values(**{**row, "key_id": alice, "user": user, "day": 20_000})
            )
    by = {kind: used.ok("usage", "--by", kind) for kind in ("organisation", "team", "user")}
    for kind, name in (("organisation", "Org"), ("team", "Left"), ("user", "Ann")):
        assert [("", 3), (name, 3)] == [(row[kind], row["requests"]) for row in by[kind]]
    assert [3] == [row["requests"] for row in used.ok("usage", "--party", "Left", "--by", "team")]
    users = used.ok("usage", "--by", "end_user")
    assert [("=x", 1), ("y", 2)] == [(row["end_user"], row["requests"]) for row in users]
    assert [2] == [row["requests"] for row in used.ok("usage", "--end-user", "y")]
    assert 1 == used("usage", "--by", "end_user", "--model", "a").code
    assert 1 == used("usage", "--party", "nobody").code


def test_tables_and_currency(used: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSV has the same rows; amounts are shown in the currency that is set."""
    monkeypatch.setenv("BATON_CURRENCY", "EUR")
    monkeypatch.setenv("BATON_CURRENCY_MICRO_PER_USD", "500000")
    rows = list(csv.DictReader(io.StringIO(used("usage", "--by", "model", "--csv").out)))
    assert [("a", "2.00"), ("b", "1.00")] == [(row["model"], row["charge"]) for row in rows]
    assert {"EUR"} == {row["currency"] for row in rows}
    assert "Charge EUR" in used("usage").out
