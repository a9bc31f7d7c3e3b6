"""Balances that this process may spend without asking: taken in memory, granted by the book.

For a limited account, `available + held + spent but not folded` is what the book counts as leased
to this process. `take` and `finish` are arithmetic on the loop; `acquire` asks the book in a
thread. What stood idle goes back, so that another process can spend it. Unlimited accounts never
come here.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from baton.stores.accounts import Accounts
from baton.stores.base import StoreUnavailable, Uncertain
from baton.stores.windows import REQUESTS, UNITS
from baton.telemetry import diary

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake_or_not_s() -> float:
    """A clock that is never set, and goes on while the machine sleeps, as the server's does: the
    event loop's stands still then."""
    return time.clock_gettime(_CLOCK)


class _Balance:
    """One account's lease. `low` is the least that was available since the last look at
    idleness; `elsewhere` what others had when question number `asked` was answered. `dry`: the book
    had less than the last question asked for, and nothing went back since."""

    __slots__ = ("asked", "available", "dry", "elsewhere", "low")

    def __init__(self) -> None:
        self.available, self.low = 0, 0
        self.asked = self.elsewhere = 0
        self.dry = False

    def add(self, amount: int) -> None:
        self.available += amount
        self.low = min(self.low, self.available)


class Leases:
    """What this process (the journal `number`, in `epoch`) holds. Owned by one event loop."""

    def __init__(
        self,
        accounts: Accounts,
        number: int,
        epoch: int | None = None,
        clock_s: Callable[[], float] = awake_or_not_s,
    ) -> None:
        self._clock_s = clock_s
        self._accounts, self._number, self._epoch = accounts, number, epoch
        self.lapsed = False
        """Whether the book has not been heard of for so long that it may count this process as
        gone: nothing is spent until it is heard again."""
        self.until_s: float | None = None
        """When that will be, by `clock_s`, unless it is heard before: whoever slept over it, or was
        stopped, spends nothing before it has noticed. None: never."""
        self._balances: defaultdict[str, _Balance] = defaultdict(_Balance)
        self._wanted: defaultdict[str, int] = defaultdict(int)
        self._asking = asyncio.Lock()
        self._questions = 0
        self._unanswered = False
        """Whether the last question failed: then nobody knows what is left."""
        self._loop = asyncio.get_running_loop()
        self._open: set[asyncio.Task[None]] = set()

    def take(self, limited: tuple[str, ...], amount: int, tokens: int = 0) -> bool:
        """Spend `amount` (`tokens` of those that count tokens, one of those that count requests) of
        every account, or of none."""
        if self.lapsed or not self._fits(limited, amount, tokens) or self._over():
            return False
        for name in limited:
            self._balances[name].add(-need(name, amount, tokens))
        return True

    def take_money(self, name: str, amount: int) -> bool:
        """`take` of the one account that is limited, in nano-USD."""
        balance = self._balances[name]
        if self.lapsed or balance.available < amount:
            return False
        if self.until_s is not None and self._clock_s() >= self.until_s:
            return False
        balance.available = left = balance.available - amount
        if left < balance.low:
            balance.low = left
        return True

    def put_back(self, name: str, unspent: int) -> None:
        """`finish` for it."""
        self._balances[name].available += unspent

    def finish(
        self, limited: tuple[str, ...], unspent: int, tokens: int = 0, requests: int = 0
    ) -> None:
        """What a hold did not need is available again; `requests` is 1 where nothing came of it."""
        for name in limited:
            rest = _other(name, tokens, requests) if name.startswith(UNITS) else unspent
            self._balances[name].add(rest)

    async def acquire(self, limited: tuple[str, ...], amount: int, tokens: int = 0) -> str | None:
        """Take, asking the book for more. None when taken, else the account that falls short.

        Those who wait share one question; each then takes in the order of asking, so that near the
        limit as many pass as fit. What was granted to one who waits may be gone before its turn:
        taken by a request that did not have to wait, recalled, or gone back as idle. It asks again
        then; only what the book did not have is refused. Raises StoreUnavailable."""
        needs = {name: need(name, amount, tokens) for name in limited}
        for name in limited:
            self._wanted[name] += needs[name]
        asked_before = self._questions
        try:
            async with self._asking:
                included = self._questions > asked_before  # in a question asked while we waited
                while not self.take(limited, amount, tokens):
                    if self.lapsed or self._over():
                        raise StoreUnavailable("the leases have lapsed")
                    if self._open:
                        await self._heard()
                        continue
                    if included:
                        if self._unanswered:
                            raise StoreUnavailable("the book did not answer")
                        dry = self._dry(limited, amount, tokens)
                        if dry is not None:
                            return dry
                    await self._ask()
                    included = True
                return None
        finally:
            for name in limited:
                self._wanted[name] -= needs[name]
                if not self._wanted[name]:
                    del self._wanted[name]

    def _over(self) -> bool:
        return self.until_s is not None and self._clock_s() >= self.until_s

    def _fits(self, limited: tuple[str, ...], amount: int, tokens: int) -> bool:
        for name in limited:
            least = need(name, amount, tokens)
            if self._balances[name].available < least:
                return False
        return True

    def short(self, limited: tuple[str, ...], amount: int, tokens: int) -> list[str]:
        """Those of the accounts of which not so much is available."""
        balances = self._balances
        return [n for n in limited if balances[n].available < need(n, amount, tokens)]

    def _dry(self, limited: tuple[str, ...], amount: int, tokens: int) -> str | None:
        """The first of those that fall short of which the book has no more."""
        short = self.short(limited, amount, tokens)
        return next((name for name in short if self._balances[name].dry), None)

    async def within_reach(self, name: str) -> int:
        """What is available of an account that fell short, and what other processes hold of it,
        which may come back. Raises StoreUnavailable.

        Looked up once a question: those who shared it share the answer."""
        async with self._asking:
            await self._heard()
            balance = self._balances[name]
            if balance.asked != self._questions:
                balance.elsewhere = await asyncio.to_thread(
                    self._accounts.elsewhere, self._number, name
                )
                balance.asked = self._questions
            return balance.available + balance.elsewhere

    async def _ask(self) -> None:
        """For all who wait, whatever accounts they need. What the book grants is counted also when
        the one who asked is gone by then."""
        balances = self._balances
        wants = {name: least - balances[name].available for name, least in self._wanted.items()}
        self._questions += 1
        question = self._loop.create_task(self._lend(wants))
        self._open.add(question)
        question.add_done_callback(self._answered)
        await asyncio.shield(question)

    def _answered(self, question: asyncio.Task[None]) -> None:
        """A failure is that of those who still wait: where all have left, it is nobody's."""
        self._open.discard(question)
        if not question.cancelled():
            question.exception()

    async def _heard(self) -> None:
        """Wait for the question of one who has left: what it brings is everybody's, and until then
        nobody knows what is left."""
        if self._open:
            await asyncio.wait(self._open)

    async def _lend(self, wants: dict[str, int]) -> None:
        self._unanswered = True
        granted = await asyncio.to_thread(self._accounts.lend, self._number, wants, self._epoch)
        for name, amount in granted.items():
            balance = self._balances[name]
            balance.add(amount)
            balance.dry = amount < wants[name]
        self._unanswered = False

    def idle(self) -> dict[str, int]:
        """Withdraw what stood unused since the last call; the caller gives it back to the book."""
        idle = {}
        for name, balance in list(self._balances.items()):
            if balance.low > 0:
                idle[name] = balance.low
                balance.available -= balance.low
            elif balance.available == 0:
                del self._balances[name]
                continue
            balance.low = balance.available
        return idle

    def recalled(self, subject: str) -> dict[str, int]:
        """Withdraw all that is available of the accounts of a key or party, whose limits changed:
        the caller gives it back, so that the book can lend by the new ones. What requests under way
        hold stays with them."""
        found = {}
        for name, balance in self._balances.items():
            if subject in name and balance.available > 0:
                found[name] = balance.available
                balance.available = balance.low = 0
        return found

    async def give_back(self, withdraw: Callable[[], dict[str, int]]) -> None:
        """Return what `withdraw` (`idle`, `recalled`) takes out. Nobody asks meanwhile: what is on
        its way to the book is nowhere to be had. A book that is away keeps counting it as leased;
        where it may have taken it back it is not spent again."""
        async with self._asking:
            await self._heard()
            amounts = withdraw()
            if amounts:
                for name in amounts:
                    self._balances[name].dry = False
                await self._returned(amounts)

    async def _returned(self, amounts: dict[str, int]) -> None:
        try:
            await asyncio.to_thread(self._accounts.give_back, self._number, amounts, self._epoch)
        except Uncertain as error:
            diary.warning("idle leases may not have been returned", reason=str(error))
        except StoreUnavailable as error:
            diary.warning("idle leases could not be returned", reason=str(error))
            for name, amount in amounts.items():
                self._balances[name].add(amount)

    async def close(self) -> None:
        """Wait for questions that are under way: the book must not grant to a journal that is
        closed."""
        await asyncio.gather(*self._open, return_exceptions=True)


def need(name: str, amount: int, tokens: int) -> int:
    """What a request needs of an account: nano-USD, tokens, or one of those that count requests."""
    return _other(name, tokens) if name.startswith(UNITS) else amount


def _other(name: str, tokens: int, requests: int = 1) -> int:
    """What counts for an account that does not count nano-USD."""
    return requests if name.startswith(REQUESTS) else tokens
