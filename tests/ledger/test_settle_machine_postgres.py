"""The ledger's machine (test_settle_machine.py) on PostgreSQL: with journals on disk, and in it."""

from typing import ClassVar

import pytest

from tests.ledger import test_settle_machine
from tests.ledger.machine_books import FileBook, Kind, ServerBook
from tests.servers import Postgres

QUICK_RUNS = 12


def machine(cluster: Postgres, journal: Kind) -> type[test_settle_machine.LedgerMachine]:
    class OnServer(test_settle_machine.LedgerMachine):
        book: ClassVar[FileBook | ServerBook] = ServerBook(cluster.database(), journal)

    return OnServer


@pytest.mark.parametrize("runs", [QUICK_RUNS, test_settle_machine.MANY])
@pytest.mark.parametrize("journal", ["local", "shared"])
def test_ledger_machine_on_postgres(cluster: Postgres, journal: Kind, runs: int) -> None:
    """The same invariants hold where the book is on a server, wherever the journals are."""
    test_settle_machine.drive(machine(cluster, journal), runs)
