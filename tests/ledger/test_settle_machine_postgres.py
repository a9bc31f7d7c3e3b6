"""The ledger's machine (test_settle_machine.py) on PostgreSQL: with journals on disk, and in it."""

import os
from typing import ClassVar

import pytest

from tests.ledger import test_settle_machine
from tests.ledger.machine_books import FileBook, Kind, ServerBook
from tests.servers import Postgres

QUICK_RUNS = 25
RUNS = int(os.environ.get("BATON_MACHINE_RUNS", QUICK_RUNS))


def machine(cluster: Postgres, journal: Kind) -> type[test_settle_machine.LedgerMachine]:
    class OnServer(test_settle_machine.LedgerMachine):
        book: ClassVar[FileBook | ServerBook] = ServerBook(cluster.database(), journal)

    return OnServer


@pytest.mark.parametrize("journal", ["local", "shared"])
def test_ledger_machine_on_postgres(cluster: Postgres, journal: Kind) -> None:
    """The same invariants hold where the book is on a server, wherever the journals are."""
    test_settle_machine.drive(machine(cluster, journal), RUNS)
