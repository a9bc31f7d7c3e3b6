"""The store as everybody sees it. Synchronous: asynchronous callers use a thread.

    store = open_store(settings)            brings the schema up to date first
    store.catalogue()                       upstreams with secrets, and prices: one snapshot
    store.keys      add get find by_digest all update rotate revoke   (values: admission/issue.py)
    store.upstreams add get all update remove
    store.prices    set all
    store.parties   add get find all reach lineage update close  (organisations, teams, users)
    store.accounts  get some lend give_back                           (leases: ledger/leases.py)
    store.usage     sums requests request
    store.changes   since latest
    store.idempotency  begin keep charged drop renew prune            (answers: once.py)
    store.database                          reading() and writing(), for those who own tables
    store.close()
    backup.backup(home, folder) / backup.check(folder)                (stores/backup.py)

Raises, of baton.stores.base: StoreUnavailable (cannot be used now), Duplicate, Missing, StoreError.
"""

import pathlib

from baton.config import Settings
from baton.stores import migrate
from baton.stores.accounts import Accounts
from baton.stores.base import Catalogue, StoreError
from baton.stores.changes import Changes, newest
from baton.stores.database import Database
from baton.stores.idempotency import Idempotency
from baton.stores.keys import Keys
from baton.stores.parties import Parties
from baton.stores.prices import Prices
from baton.stores.upstreams import Upstreams
from baton.stores.usage import Usage
from baton.stores.vault import Vault, master_key


class Store:
    """The book of one home, with its parts by name."""

    def __init__(self, home: pathlib.Path, vault: Vault) -> None:
        self.home = home
        self.database = Database(book_path(home))
        self.keys = Keys(self.database)
        self.parties = Parties(self.database)
        self.upstreams = Upstreams(self.database, vault)
        self.prices = Prices(self.database)
        self.accounts = Accounts(self.database)
        self.usage = Usage(self.database)
        self.changes = Changes(self.database)
        self.idempotency = Idempotency(self.database, vault.derive("idempotency"))

    def catalogue(self) -> Catalogue:
        """What requests are planned with, with provider keys in plain text."""
        with self.database.reading() as connection:
            upstreams = self.upstreams.within(connection, secrets=True)
            return Catalogue(
                version=newest(connection),
                upstreams={record.name: record for record in upstreams},
                prices=tuple(self.prices.within(connection)),
            )

    def close(self) -> None:
        self.database.close()


def open_store(settings: Settings) -> Store:
    """Open the book in `settings.home`; makes it, or migrates it, where needed."""
    if settings.database_url:
        raise StoreError("BATON_DATABASE_URL is not supported yet: leave it empty for SQLite")
    home = settings.home_path
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    migrate.bring_up(book_path(home))
    return Store(home, Vault(master_key(settings.master_key, home)))


def book_path(home: pathlib.Path) -> pathlib.Path:
    return home / "baton.db"


def journal_folder(home: pathlib.Path) -> pathlib.Path:
    return home / "journal"
