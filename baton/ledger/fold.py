"""Folding: ended requests go from the journal to the book, off the hot path; and recovery.

A thread of its own folds about once a second when there is something. A failure (the book is locked
or away) leaves everything as it is: the journal keeps its rows, the next round tries again.
"""

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterable

import sqlalchemy

from baton.ledger.journal import JournalStore
from baton.ledger.journal_log import JournalLog
from baton.ledger.log_rows import LogRows
from baton.ledger.shared_journal import SharedJournal, SharedRows, new_identity
from baton.ledger.slots import Slot, free, orphans
from baton.stores import journals
from baton.stores.base import StoreError
from baton.stores.book import Store, journal_folder
from baton.stores.carried import Rows
from baton.stores.journals import Fenced, Tenure
from baton.stores.posting import Posting
from baton.stores.segments import Damaged, identities
from baton.telemetry import diary

FOLD_S = 1.0
ROWS_PER_FOLD_MAX = 1_000
"""Bounds the memory that one transaction takes: rows of about a kilobyte each. A row costs the same
with twice as many (docs/decisions/0044)."""
PRUNE_AFTER_ROWS = 1_000
"""Folded rows stay until so many have come together: where the journal is tables, removing them
costs commits."""
KEPT_S = 10.0
"""So long rows stay in a file that were folded to a server: one that takes its place without the
last seconds (a standby that had not received them) is given them again."""
LAST_FOLDS_MAX, LAST_FOLDS_S = 3, 1.2
"""How often the end of a process tries to fold: a server that was just away is back by then."""
FAULTS = (StoreError, sqlalchemy.exc.SQLAlchemyError)


class Folder:
    """The folding thread of one journal."""

    def __init__(
        self,
        posting: Posting,
        written: Callable[[], int],
        folded: Callable[[int], None],
        kept_s: float = 0.0,
    ) -> None:
        """`written` tells the seq of the last durable row; `folded` is told what may be pruned,
        `kept_s` after it was folded."""
        self._posting, self._written, self._folded = posting, written, folded
        self._kept_s = kept_s
        self._marks: collections.deque[tuple[float, int]] = collections.deque()
        """When each was folded that may not be pruned yet."""
        self._mark = self._pruned = self._due = written()
        self._since_s: float | None = None
        """Since when there are rows that are not folded; None where there are none, or new ones."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
        self._thread.start()

    @property
    def unfolded_s(self) -> int:
        """From any thread: for how many whole seconds rows have waited, that could not be folded
        when they were to be."""
        since_s = self._since_s
        return 0 if since_s is None else int(time.monotonic() - since_s)

    def close(self) -> None:
        """End the thread. Blocks while it folds."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(FOLD_S):
            with diary.outliving("folding"):
                self._fold(self._written())

    def _fold(self, written: int) -> None:
        if written == self._mark:
            return
        if self._since_s is None:
            self._since_s = time.monotonic()
        try:
            folded_seq = fold_all(self._posting)
        except FAULTS as error:
            return diary.warning("folding failed; it is tried again", reason=str(error))
        self._mark, self._since_s = written, None
        self._marks.append((time.monotonic(), folded_seq))
        self._prune(time.monotonic() - self._kept_s)

    def _prune(self, until_s: float) -> None:
        """What was folded until then, where it has come to enough."""
        while self._marks and self._marks[0][0] <= until_s:
            _, self._due = self._marks.popleft()
        if self._due - self._pruned >= PRUNE_AFTER_ROWS:
            self._pruned = self._due
            self._folded(self._due)


def fold_all(posting: Posting) -> int:
    """Post until nothing is left; returns the mark."""
    while True:
        posted, mark = posting.post(ROWS_PER_FOLD_MAX)
        if posted < ROWS_PER_FOLD_MAX:
            return mark


class Opened:
    """A journal that is recovered and ready for a new life."""

    def __init__(self, store: Store, file: JournalStore, rows: Rows, held: Tenure) -> None:
        self.store, self.file, self.held = store, file, held
        self.posting = Posting(store.database, rows, held)
        self.first_seq = 0
        self.slot: Slot | None = None
        """Let go of at the end."""

    @property
    def number(self) -> int:
        """The journal's, in the book."""
        return self.held.number

    @property
    def kept_s(self) -> float:
        """How long what is folded stays: where the book could be lost without it."""
        return KEPT_S if self.store.database.on_server and self.slot is not None else 0.0

    def begin(self, *, leaving: bool = False) -> None:
        """Interrupt what the last owner left open, fold everything, return what was leased to
        it."""
        now_us, folded_seq = time.time_ns() // 1000, self.posting.mark()
        self.first_seq, interrupted = self.file.open_epoch(now_us, folded_seq)
        if interrupted:
            diary.warning("requests were interrupted", journal=self.number, requests=interrupted)
        mark = fold_all(self.posting)
        journals.return_leases(self.store.database, self.held, leaving=leaving)
        while self.file.prune(mark):
            pass

    def end(self, folder: Folder) -> None:
        """The journal's thread has ended: do what its next owner would have to, and let go of it.

        What cannot be written now is left to that one, leases included."""
        folder.close()
        for left in range(LAST_FOLDS_MAX, 0, -1):
            try:
                self.begin(leaving=True)
                break
            except FAULTS as error:
                if left == 1 or not self.store.database.away:
                    diary.warning("the last fold is left to the next start", reason=str(error))
                    break
            time.sleep(LAST_FOLDS_S)
        self.close()

    def close(self) -> None:
        """Let go as it is."""
        self.posting.close()
        self.file.close()
        if self.slot is not None:
            self.slot.release()


def open_free(store: Store) -> Opened:
    """Take over the first slot that nobody holds and whose journal is sound. Raises StoreError.

    A damaged journal is left as it is: what is not folded of it is told of at every start, and by
    `baton audit`, until somebody decides."""
    for slot in free(journal_folder(store.home)):
        try:
            return open_slot(store, slot)
        except Damaged as error:
            diary.error("a journal is damaged and left alone", slot=slot.name, reason=str(error))
    raise AssertionError("`free` ends with an error")


def open_slot(store: Store, slot: Slot, *, leaving: bool = False) -> Opened:
    """Take over a slot; `leaving`: only to close what is in it. Raises StoreError; the slot is then
    released."""
    with contextlib.ExitStack() as failed:
        failed.callback(slot.release)
        file = JournalLog(slot.path)
        failed.callback(file.close)
        held = journals.enter(store.database, file.identity, slot.name, store.term, seal=store.seal)
        opened = Opened(store, file, LogRows(file, held.number), held)
        opened.slot = slot
        opened.begin(leaving=leaving)
        failed.pop_all()
    return opened


def open_shared(store: Store) -> Opened:
    """Begin a journal within the book. Raises StoreError."""
    identity = new_identity()
    held = journals.enter(
        store.database, identity, "shared", store.term, shared=True, seal=store.seal
    )
    opened = _shared(store, held)
    opened.begin()
    return opened


def recover_lost(store: Store) -> int:
    """Close the journals within the book whose processes are gone; returns how many. A damaged one
    is left alone, and tried again after a term. Raises StoreError."""
    if store.term is None:
        return 0
    return _close_lost(store, journals.take_over_lost(store.database, store.term))


def recover_absent(store: Store) -> int:
    """Close the journals that a book in a file knows and nobody can have: those within it, from
    before it was copied off a server, and those of other machines, or moved away by an operator.

    Returns how many; what cannot be done now is left to the next start."""
    if store.term is not None:
        return 0
    folder, closed, given_up = journal_folder(store.home), 0, {}
    try:
        closed = _close_lost(store, journals.take_over_left(store.database))
        given_up = journals.give_up_absent(store.database, lambda: identities(folder))
    except Damaged:
        """It is told of; whose its leases are is not known."""
    except StoreError as error:
        diary.warning("journals from elsewhere are left to the next start", reason=str(error))
    for number, amount in given_up.items():
        diary.warning("a journal is not here; its leases come back", journal=number, amount=amount)
    return closed + len(given_up)


def _close_lost(store: Store, taken: Iterable[Tenure]) -> int:
    closed = 0
    for held in taken:
        opened = _shared(store, held)
        try:
            opened.begin(leaving=True)
            closed += 1
        except Fenced:
            """Somebody else closes it."""
        except Damaged as error:
            diary.error(
                "a lost journal is damaged and left alone", journal=held.number, reason=str(error)
            )
        finally:
            opened.close()
    return closed


def _shared(store: Store, held: Tenure) -> Opened:
    file = SharedJournal(store.database, held)
    return Opened(store, file, SharedRows(store.database, held.number), held)


def recover_orphans(store: Store) -> int:
    """Open and close every slot that nobody holds; returns how many. One that fails stays as it
    is."""
    recovered = 0
    for slot in orphans(journal_folder(store.home)):
        try:
            open_slot(store, slot, leaving=True).close()
            recovered += 1
        except FAULTS as error:
            diary.exception("a journal cannot be recovered", slot=slot.name, reason=str(error))
    return recovered
