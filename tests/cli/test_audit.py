"""`baton audit`: says whether the ledger is right, by its exit code too."""

from baton.cli.opened import opened
from baton.stores.tables import usage_day
from tests.cli.conftest import Cli


def test_a_right_ledger(cli: Cli) -> None:
    """Exit code 0 and what was looked at."""
    assert ([], 0) == ((found := cli.ok("audit"))["faults"], found["requests"])
    assert "right" in cli("audit").out


def test_a_wrong_ledger(cli: Cli) -> None:
    """Exit code 1, and a sentence for each fault."""
    with opened() as store, store.database.writing() as connection:
        row: dict[str, object] = {column.name: 1 for column in usage_day.columns}
        row |= {"key_id": "k", "model": "m", "upstream": "u"}
        connection.execute(usage_day.insert().values(**row))
    done = cli("audit")
    assert 1 == done.code
    assert "- the day" in done.out
    assert 1 == cli("audit", "--json").code
