"""The store as everybody sees it. Synchronous: asynchronous callers use a thread.

    store = open_store(settings)            brings the schema up to date first
    store.catalogue()                       upstreams with secrets, and prices: one snapshot
    store.keys      add add_all get find by_digest all update rotate revoke    (admission/issue.py)
    store.upstreams add get all update remove
    store.prices    set set_all all
    store.parties   add get find all reach lineage update close  (organisations, teams, users)
    store.accounts  get some lend elsewhere give_back                 (leases: ledger/leases.py)
    store.usage     sums requests log request attempts
    store.traffic   slots                                             (sums over time)
    store.history   add slots changes                                 (upstreams over time)
    store.changes   since newest_first latest end_session session_ended
    store.notices   take leave make due delivered failed              (webhooks.py)
    store.idempotency  begin keep charged drop renew prune            (answers: once.py)
    store.contents  keep about read prune                             (content.py)
    store.refusals  add page get prune                                (refusals.py)
    store.database                          reading() and writing(), for those who own tables
    store.close()
    backup.backup(home, folder) / backup.check(folder)                (stores/backup.py)

Raises, of baton.stores.base: StoreUnavailable (cannot be used now), Duplicate, Missing, StoreError.
"""

import pathlib

from baton.config import Settings
from baton.stores import glance, migrate
from baton.stores.accounts import Accounts
from baton.stores.base import Catalogue, StoreError
from baton.stores.changes import Changes, newest
from baton.stores.contents import Contents, seal_of
from baton.stores.database import Database, DatabaseLimits, Place, place
from baton.stores.history import History
from baton.stores.idempotency import Idempotency
from baton.stores.journals import Term
from baton.stores.keys import Keys
from baton.stores.master import master_key
from baton.stores.notices import Notices
from baton.stores.parties import Parties
from baton.stores.prices import Prices
from baton.stores.refusals import RefusalLog
from baton.stores.traffic import Traffic
from baton.stores.upstreams import Upstreams
from baton.stores.usage import Usage
from baton.stores.vault import Vault

LATE_S = 60.0
"""How much longer the book waits for a journal than its process spends: for slow hosts."""


class Store:
    """The book, with its parts by name, and the home of this machine's part of it."""

    def __init__(
        self,
        home: pathlib.Path,
        vault: Vault,
        place: Place | None = None,
        limits: DatabaseLimits | None = None,
    ) -> None:
        """`place`: where the book is, if it is not in `home`."""
        self.home = home
        self.term: Term | None = None
        """How long journals hold what is leased to them; None: for as long as their process."""
        self.shared_journal = False
        """Whether journals are in the book itself."""
        self.database = Database(place or book_path(home), limits=limits)
        self.keys = Keys(self.database)
        self.parties = Parties(self.database)
        self.upstreams = Upstreams(self.database, vault)
        self.prices = Prices(self.database)
        self.accounts = Accounts(self.database)
        self.usage = Usage(self.database)
        self.traffic = Traffic(self.database)
        self.history = History(self.database)
        self.changes = Changes(self.database)
        self.notices = Notices(self.database)
        self.idempotency = Idempotency(self.database, vault.derive("idempotency"))
        self.contents = Contents(self.database, seal_of(vault))
        self.refusals = RefusalLog(self.database)
        self.seal = vault.derive("nodes").digest().hex()
        """Names the master key (journals.enter)."""
        self.session_seal = vault.derive("session")
        """Seals the tokens of the console (admission/sessions.py)."""

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
    """Open the book of these settings; makes it, or migrates it, where needed.

    Raises StoreError for a home with an earlier Baton's journals, which is left as it is."""
    home = settings.home_path
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    glance.refuse_earlier(journal_folder(home))
    book = book_place(settings)
    migrate.bring_up(book)
    limits = DatabaseLimits(
        answer_timeout_s=settings.database_timeout_s,
        connect_timeout_s=settings.database_connect_timeout_s,
        connections_max=settings.database_connections_max,
    )
    store = Store(home, Vault(master_key(settings.master_key, home)), book, limits)
    store.shared_journal = settings.journal == "shared"
    if store.database.on_server:
        store.term = term(settings)
    elif store.shared_journal:
        raise StoreError("BATON_JOURNAL=shared needs BATON_DATABASE_URL=postgresql://…")
    return store


def term(settings: Settings) -> Term:
    """How long leases hold. Of a journal within the book nothing can come late; else what was begun
    on a lease ends with its request."""
    request_s = max(settings.request_timeout_s, settings.upstream_total_timeout_s)
    late_s = 0.0 if settings.journal == "shared" else request_s
    process_s = settings.lease_term_s
    return Term(process_s=process_s, book_s=process_s + late_s + LATE_S)


def book_place(settings: Settings) -> Place:
    """Where the settings say that the book is. Raises StoreError."""
    return place(settings.database_url, book_path(settings.home_path))


def book_path(home: pathlib.Path) -> pathlib.Path:
    return home / glance.FILE_NAME


def journal_folder(home: pathlib.Path) -> pathlib.Path:
    return home / glance.JOURNALS
