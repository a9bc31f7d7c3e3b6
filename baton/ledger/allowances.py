"""Free allowances: which requests are charged nothing, decided when they are admitted.

A request whose whole worst case fits into what is left of its key's allowance takes it from there,
by lease like any budget, and is held and charged at nothing; else it is held and charged as if
there were no allowance. So a hold stays an upper bound, an allowance is never exceeded, and a row
says by its scopes which of the two it was. Where the book cannot be asked, requests are charged.
"""

import time
from collections.abc import Callable

import msgspec

from baton.ledger.entries import Intent
from baton.ledger.leases import Leases
from baton.stores import allowances
from baton.stores.base import Allowance, PriceRecord, StoreUnavailable

ASK_AGAIN_S = 10.0
"""How long an allowance that fell short is not asked of the book, while its price is the same: it
would be for each request."""
SHORT_MAX = 10_000
"""Accounts that are remembered to have fallen short; then all are asked of once more."""
_Short = tuple[str, int]
"""An account, and the version of the price that allows it."""


class Allowances:
    """What of allowances this process may give away. Owned by one event loop."""

    def __init__(self, leases: Leases, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._leases, self._clock_s = leases, clock_s
        self._short: dict[_Short, tuple[int, float]] = {}
        """The least that was not there, and until when that holds."""

    async def within(self, intent: Intent, price: PriceRecord) -> Intent | None:
        """The request on its allowance beside its other accounts, for which at this moment enough
        is leased; None where it is to be charged."""
        assert price.free is not None
        account = _account(intent, price.free)
        alone, tokens, short = (account,), intent.tokens_max, (account, price.version)
        need = tokens if price.free.unit == "tokens" else 1
        if not self._leases.take(alone, 0, tokens) and (
            self._is_short(short, need) or not await self._acquired(short, tokens, need)
        ):
            return None
        self._leases.finish(alone, 0, tokens, 1)  # taken again with the others, all or none
        payer = intent.payer
        return msgspec.structs.replace(
            intent,
            payer=msgspec.structs.replace(
                payer,
                limited=(*payer.limited, account),
                scopes=(*payer.scopes, account),
                money_alone=False,  # the allowance counts something else
            ),
        )

    async def _acquired(self, asked: _Short, tokens: int, need: int) -> bool:
        try:
            short = await self._leases.acquire((asked[0],), 0, tokens)
        except StoreUnavailable:
            return False
        if short is not None:
            if len(self._short) >= SHORT_MAX:
                self._short.clear()
            self._short[asked] = need, self._clock_s() + ASK_AGAIN_S
        return short is None

    def _is_short(self, asked: _Short, need: int) -> bool:
        fewest, until_s = self._short.get(asked, (0, 0.0))
        return need >= fewest and self._clock_s() < until_s


def _account(intent: Intent, allowance: Allowance) -> str:
    return allowances.name(intent.payer.account, intent.model, allowance, intent.created_us)


def unpriced(price: PriceRecord) -> PriceRecord:
    """What a free request is held and charged at: the same version, nothing of it."""
    return PriceRecord(version=price.version, model=price.model, effective_us=price.effective_us)


def plain(price: PriceRecord) -> PriceRecord:
    """The price of what is charged."""
    return msgspec.structs.replace(price, free=None)
