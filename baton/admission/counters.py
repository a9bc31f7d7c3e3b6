"""Where rates are counted: in memory that all workers of a machine share.

Theory of operation. A file in `home/run/rates` is mapped by every worker. Each limit has a row in
it, found by the hash of its name: the cells of rates.py, and beside them what each process has of
"under way" (requests at once, tokens reserved). Whoever changes a row holds the lock of the file
(flock: the kernel lets go of it when a process dies), for a few microseconds. So a limit holds over
all workers exactly, and a worker that is replaced or killed forgets nothing.

A process has a slot, a locked file of its own, as long as it lives. When another process starts, it
sweeps what dead ones left under way: their slots can be locked. Sums are made anew from the living
then, so that a process killed between two writes leaves nothing wrong for good.

A process that is stopped while it holds the lock must not stop the others: after `LOCK_WAIT_S` they
go on without it until it can be had again, and may count two requests as one. A row is never begun
twice, which would forget all that was counted in it: that has a lock of its own, and who does not
get it (a disk that takes long to write is the likeliest reason) refuses the request.

A file instead of a server or leased shares: shares refuse early (a worker has its n-th part, and
the kernel gives connections to workers as it likes), a server costs a round trip; this costs 3 µs.
Several machines need a counter between them: another `Counters` over the same limits.
"""

import array
import errno
import fcntl
import hashlib
import mmap
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Protocol

from baton.admission import rates
from baton.admission.rates import AT_ONCE, PENDING, Decision, Left, Limit
from baton.stores.base import StoreUnavailable
from baton.telemetry import diary

SETS, WAYS = 256, 64
"""Rows are looked for in one of 256 sets of 64: 16,384 limits may be in use within a minute."""
SLOTS = 128
"""Processes at once: 64 workers, and 64 that they replace."""
NAME_CELLS = 2
ROW_CELLS = NAME_CELLS + rates.CELLS
SET_CELLS = WAYS * ROW_CELLS
SHARE_CELLS = 2 * SLOTS
"""Behind all rows: what each process has under way, for each row."""
SHARES = SETS * WAYS * ROW_CELLS
FILE_BYTES = 8 * (SHARES + SETS * WAYS * SHARE_CELLS)
"""35 MB, of which only the rows in use take space.

The file has no blocks elsewhere, and a process that touches it there by memory, while the disk is
full, is killed by the kernel (SIGBUS). So a row begins by a write, which may fail, and is looked
for in what was read; only cells of rows that have begun are used in memory."""
PLACES_MAX = 100_000
LOCK_WAIT_S = 1.0
START_WAIT_S = 10.0
"""At its start a process waits longer: no request waits with it, and others that start hold the
lock while they make files, which a slow disk may make long."""
BEGIN_WAIT_S = 0.02
"""For the lock of who begins a row: with the other one, nobody else wants it."""
LOCK_RETRY_S = 20e-6
"""Others hold the lock for less; a process that shares its core may have to wait for its turn."""

TRY = fcntl.LOCK_EX | fcntl.LOCK_NB

Limits = tuple[Limit, ...]


class Counters(Protocol):
    """Counts requests and tokens against limits: all of a request's limits, or none of them.

    A `Counters` may wait in `arrive`, `reserve` and `learn` (for a server that several machines
    share), never in `end`. After an `arrive` that allowed, `end` comes exactly once."""

    async def arrive(self, limits: Limits) -> Decision | None:
        """A request is there. None where nothing limits requests."""
        ...

    async def reserve(self, limits: Limits, tokens: int) -> Decision | None:
        """It may use so many tokens. None where nothing limits tokens."""
        ...

    def end(self, limits: Limits, reserved: int, used: int) -> None:
        """It is over; `reserved` as it was granted, else 0."""
        ...

    async def learn(self, limits: Limits) -> None:
        """Find out what others have used of them, for `left`."""
        ...

    def left(self, limits: Limits) -> tuple[Left, ...]:
        """What each limit would let through now, by what is known of others."""
        ...

    @property
    def apart(self) -> bool:
        """Whether it counts for this machine alone what it should count over all nodes."""
        ...


class MachineCounters:
    """Counts for all processes that have the same folder. Owned by one event loop."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Raises StoreUnavailable when the folder cannot be written."""
        self._places: dict[str, tuple[int, int, int]] = {}
        self._patience_s = START_WAIT_S
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._begins = os.open(folder / "begin", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held = self._take()
            self._file = _open(folder)
            self._map = mmap.mmap(self._file, FILE_BYTES)
            self._cells = memoryview(self._map).cast("q")
            self.slot, self._held = _claim(folder)
            self._sweep(folder)
            self._release(held)
        except OSError as error:
            raise StoreUnavailable(f"rates cannot be counted in {folder}: {error}") from error

    async def arrive(self, limits: Limits) -> Decision | None:
        return self.arrive_at_once(limits)

    def arrive_at_once(self, limits: Limits) -> Decision | None:
        """`arrive`, which never waits here."""
        now_ns, alone = time.monotonic_ns(), len(limits) == 1 and not limits[0].lasting
        held = self._take()
        try:
            if alone:
                row = self._row(limits[0].scope, now_ns)
                return rates.arrive_alone(limits[0], self._cells, row, now_ns)
            rows = self._rows(limits, now_ns)
            decision = rates.arrive(limits, self._cells, rows, now_ns)
            if decision is None or decision.allowed:
                self._share(limits, rows, 1, 0)
            return decision
        finally:
            self._release(held)

    async def reserve(self, limits: Limits, tokens: int) -> Decision | None:
        now_ns = time.monotonic_ns()
        held = self._take()
        try:
            rows = self._rows(limits, now_ns)
            decision = rates.reserve(limits, self._cells, rows, tokens, now_ns)
            if decision is not None and decision.allowed:
                self._share(limits, rows, 0, tokens)
        finally:
            self._release(held)
        return decision

    def end(self, limits: Limits, reserved: int, used: int) -> None:
        now_ns = time.monotonic_ns()
        held = self._take()
        try:
            rows = [self._known(limit.scope) for limit in limits]
            if -1 in rows:
                limits = tuple(limit for limit, row in zip(limits, rows, strict=True) if row >= 0)
                rows = [row for row in rows if row >= 0]
            rates.end(limits, self._cells, rows, (reserved, used), now_ns)
            self._share(limits, rows, -1, -reserved)
        finally:
            self._release(held)

    async def learn(self, limits: Limits) -> None:
        """Nothing: all count in the same memory."""

    def left(self, limits: Limits) -> tuple[Left, ...]:
        now_ns = time.monotonic_ns()
        held = self._take()
        try:
            rows = self._rows(limits, now_ns)
            pairs = zip(limits, rows, strict=True)
            return tuple(rates.left(limit, self._cells, row, now_ns) for limit, row in pairs)
        finally:
            self._release(held)

    @property
    def apart(self) -> bool:
        """Never: all that it is to count is this machine's."""
        return False

    def close(self) -> None:
        """Let go of the slot; what is under way is for the next process to sweep."""
        self._cells.release()
        self._map.close()
        for descriptor in (self._file, self._held, self._begins, self._lock):
            os.close(descriptor)

    def _share(self, limits: Limits, rows: Sequence[int], requests: int, tokens: int) -> None:
        """Write down what of it is this process's."""
        cells = self._cells
        for limit, row in zip(limits, rows, strict=True):
            mine = SHARES + row // ROW_CELLS * SHARE_CELLS + 2 * self.slot
            if limit.requests_at_once is not None:
                cells[mine] = max(0, cells[mine] + requests)
            if limit.tokens_per_minute is not None:
                cells[mine + 1] = max(0, cells[mine + 1] + tokens)

    def _rows(self, limits: Limits, now_ns: int) -> list[int]:
        """Where the cells of each limit begin."""
        rows: list[int] = []
        for limit in limits:
            rows.append(self._row(limit.scope, now_ns, rows))
        return rows

    def _row(self, scope: str, now_ns: int, taken: Sequence[int] = ()) -> int:
        """`taken`: rows of other limits of the same request, which may be idle still."""
        cells, place = self._cells, self._places.get(scope)
        if place is None:
            place = self._find(scope, now_ns, taken)
        at, first, second = place
        if cells[at] != first or cells[at + 1] != second:
            at = self._find(scope, now_ns, taken)[0]
        return at + NAME_CELLS

    def _known(self, scope: str) -> int:
        """Where the cells of that limit begin, or -1: what has no row has nothing under way."""
        place = self._places.get(scope)
        if place is not None and self._cells[place[0]] == place[1]:
            return place[0] + NAME_CELLS
        at = self._found(*_name(scope))
        return at if at < 0 else at + NAME_CELLS

    def _find(self, scope: str, now_ns: int, taken: Sequence[int]) -> tuple[int, int, int]:
        """The row of that name, or an idle one of its set that becomes it."""
        first, second = _name(scope)
        at = self._found(first, second)
        if at < 0:
            self._wait_to_begin()
            try:
                at = self._found(first, second)  # it may have been begun without the other lock
                if at < 0:
                    at = self._begin(first, second, now_ns, taken)
            finally:
                fcntl.flock(self._begins, fcntl.LOCK_UN)
        if len(self._places) >= PLACES_MAX:
            self._places.clear()
        place = self._places[scope] = (at, first, second)
        return place

    def _found(self, first: int, second: int) -> int:
        """Where the row of that name is, or -1."""
        begin = first % SETS * SET_CELLS
        cells, ways = self._copy(begin, SET_CELLS), range(0, SET_CELLS, ROW_CELLS)
        found = (begin + way for way in ways if cells[way] == first and cells[way + 1] == second)
        return next(found, -1)

    def _wait_to_begin(self) -> None:
        deadline_s = time.monotonic() + BEGIN_WAIT_S
        while not _locked(self._begins):
            if time.monotonic() >= deadline_s:
                raise StoreUnavailable("another limit cannot be counted at the moment")
            time.sleep(LOCK_RETRY_S)

    def _begin(self, first: int, second: int, now_ns: int, taken: Sequence[int]) -> int:
        """A row of that name, with nothing in it."""
        begin = first % SETS * SET_CELLS
        cells, ways = self._copy(begin, SET_CELLS), range(0, SET_CELLS, ROW_CELLS)
        free = (way for way in ways if begin + way + NAME_CELLS not in taken)
        way = next((way for way in free if rates.idle(cells, way + NAME_CELLS, now_ns)), -1)
        if way < 0:
            raise StoreUnavailable("too many limits are in use at once")
        at = begin + way
        try:
            self._write(SHARES + at // ROW_CELLS * SHARE_CELLS, [0] * SHARE_CELLS)
            self._write(at, (first, second, *[0] * rates.CELLS))
        except OSError as error:
            raise StoreUnavailable(f"another limit cannot be counted: {error}") from error
        return at

    def _copy(self, at: int, cells: int) -> memoryview:
        return memoryview(os.pread(self._file, 8 * cells, 8 * at)).cast("q")

    def _write(self, at: int, cells: Sequence[int]) -> None:
        """Whole pages, as memory has them: of one that has blocks for a part, the rest has none.
        Of a page that has something in it, as it was written whole before, only these cells: others
        may count in those beside meanwhile. Raises OSError where the disk has no room for them."""
        given, page = array.array("q", cells).tobytes(), mmap.PAGESIZE
        first, last = 8 * at, 8 * at + len(given)
        start, end = first // page * page, -(-last // page) * page
        data, nothing = bytearray(os.pread(self._file, end - start, start)), bytes(page)
        written = (data[:page] != nothing, data[-page:] != nothing)
        data[first - start : last - start] = given
        first, last = first if written[0] else start, last if written[1] else end
        if os.pwrite(self._file, data[first - start : last - start], first) != last - first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _sweep(self, folder: pathlib.Path) -> None:
        """What dead processes had under way is over; the sums are those of the living."""
        living = [slot for slot in range(SLOTS) if slot != self.slot and _is_held(folder, slot)]
        dead = [slot for slot in range(SLOTS) if slot not in living]
        cells, found = self._cells, self._copy(0, SHARES)
        for at in range(0, SHARES, ROW_CELLS):
            if not found[at] and not found[at + 1]:
                continue
            shares = SHARES + at // ROW_CELLS * SHARE_CELLS
            for slot in dead:
                cells[shares + 2 * slot] = cells[shares + 2 * slot + 1] = 0
            row = at + NAME_CELLS
            cells[row + AT_ONCE] = sum(cells[shares + 2 * slot] for slot in living)
            cells[row + PENDING] = sum(cells[shares + 2 * slot + 1] for slot in living)

    def _take(self) -> bool:
        """The lock, or after a while the decision to do without."""
        try:
            fcntl.flock(self._lock, TRY)
        except BlockingIOError:
            return self._wait()
        self._patience_s = LOCK_WAIT_S
        return True

    def _wait(self) -> bool:
        deadline_s = 0.0
        while not _locked(self._lock):
            now_s = time.monotonic()
            deadline_s = deadline_s or now_s + self._patience_s
            if now_s >= deadline_s:
                if self._patience_s:
                    diary.warning("the lock of the rates is stuck")
                self._patience_s = 0.0  # who waited once does not wait again for the same
                return False
            time.sleep(LOCK_RETRY_S)
        self._patience_s = LOCK_WAIT_S
        return True

    def _release(self, held: bool) -> None:
        if held:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _name(scope: str) -> tuple[int, int]:
    """What a row is known by."""
    digest = hashlib.blake2b(scope.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], signed=True), int.from_bytes(digest[8:], signed=True)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, TRY)
    except BlockingIOError:
        return False
    return True


def _open(folder: pathlib.Path) -> int:
    """The file of cells; its name has its size, so that each version has its own.

    Whoever is first makes it long enough, and so does everyone else, which changes nothing: a file
    made aside and renamed would be another one for each process that starts without the lock."""
    path = folder / f"cells-{FILE_BYTES}"
    for old in folder.glob("cells*"):
        if old != path:
            old.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.ftruncate(descriptor, FILE_BYTES)
    return descriptor


def _claim(folder: pathlib.Path) -> tuple[int, int]:
    """The first slot that nobody holds, and the descriptor that holds it."""
    for slot in range(SLOTS):
        descriptor = _try(folder, slot)
        if descriptor is not None:
            return slot, descriptor
    raise StoreUnavailable(f"all {SLOTS} slots of the rates in {folder} are held")


def _is_held(folder: pathlib.Path, slot: int) -> bool:
    """Whether a living process has that slot."""
    if not (folder / f"{slot}.lock").exists():
        return False
    descriptor = _try(folder, slot)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _try(folder: pathlib.Path, slot: int) -> int | None:
    path = folder / f"{slot}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
