"""What an answer costs, exactly. Pure: integers in, integers out, the time is passed in.

Prices are pico-USD per token, so Σ tokens × price is exact; it is rounded once per request, to the
nearest nano-USD, half up. A request fee is nano-USD already.
"""

import bisect
from collections.abc import Iterable

from baton.semantics.events import Prompt, Usage
from baton.stores.base import PriceDetails, PriceRecord

TOKENS_UPPER_EXTRA = 8
"""Beyond one token a byte: BOS and whatever else a tokenizer puts around a text."""
AMOUNT_NANO_MAX = 2**62
"""Above any sum that means something; keeps every column within 64 bits."""
HOLD_NANO_MAX = 10**15
"""What one request may cost, a million US dollars: a dearer one has a price of a wrong unit, and a
few of AMOUNT_NANO_MAX would sum up to more than the book can hold, which then takes no more."""

NEVER_US = 2**63 - 1

FREE = PriceRecord(version=0, model="", effective_us=0)
"""The price of a model that none was set for: no other has version 0."""


def tokens_upper(prompt: Prompt) -> int:
    """At least as many tokens as any byte-level tokenizer makes of it; exact for token ids."""
    if not isinstance(prompt, str):
        return len(prompt)
    letters = len(prompt) if prompt.isascii() else len(prompt.encode())
    return letters + TOKENS_UPPER_EXTRA


def charge(usage: Usage, price: PriceRecord) -> int:
    """nano-USD that the usage is worth."""
    cached = min(max(usage.cached_tokens or 0, 0), usage.prompt_tokens)
    if price.details is not None:
        return _detailed_charge(usage, price, price.details, cached)
    return tokens_charge(price, usage.prompt_tokens - cached, cached, usage.completion_tokens)


def tokens_charge(price: PriceRecord, fresh: int, cached: int, completion: int) -> int:
    cached_pico = price.input_pico if price.cached_input_pico is None else price.cached_input_pico
    pico = fresh * price.input_pico + cached * cached_pico + completion * price.output_pico
    return price.request_nano + (pico + 500) // 1000


def _detailed_charge(usage: Usage, price: PriceRecord, details: PriceDetails, cached: int) -> int:
    """Each token is charged once: what is cached first, then what else has a price of its own.

    An upstream may count a token as two kinds (cached audio); no sum of kinds exceeds the whole."""
    prompt = _Tokens(usage.prompt_tokens, price.input_pico)
    prompt.take(cached, price.cached_input_pico)
    prompt.take(usage.cache_write_tokens, details.cache_write_pico)
    prompt.take(usage.image_prompt_tokens, details.image_input_pico)
    prompt.take(usage.audio_prompt_tokens, details.audio_input_pico)
    completion = _Tokens(usage.completion_tokens, price.output_pico)
    completion.take(usage.reasoning_tokens, details.reasoning_pico)
    completion.take(usage.audio_completion_tokens, details.audio_output_pico)
    return price.request_nano + (prompt.pico() + completion.pico() + 500) // 1000


class _Tokens:
    """Tokens that are charged kind by kind, the rest as plain ones."""

    def __init__(self, total: int, plain_pico: int) -> None:
        self._rest, self._plain_pico, self._taken_pico = total, plain_pico, 0

    def take(self, count: int | None, each_pico: int | None) -> None:
        if each_pico is not None:
            taken = min(max(count or 0, 0), self._rest)
            self._rest -= taken
            self._taken_pico += taken * each_pico

    def pico(self) -> int:
        return self._taken_pico + self._rest * self._plain_pico


def bound(price: PriceRecord, prompt_tokens_max: int, completions: int, max_tokens: int) -> int:
    """nano-USD that no honest answer exceeds: every candidate as long as it may be.

    Sound because `charge` grows with each count and rounds the same way."""
    into, out = max(price.input_pico, price.cached_input_pico or 0), price.output_pico
    if price.details is not None:
        into, out = _dearest(price.details, into, out)
    pico = prompt_tokens_max * into + completions * max_tokens * out
    return price.request_nano + (pico + 500) // 1000


def _dearest(details: PriceDetails, into: int, out: int) -> tuple[int, int]:
    """The most that a token of the prompt, and one of the completion, may cost."""
    kinds = (details.cache_write_pico, details.image_input_pico, details.audio_input_pico)
    further = (details.reasoning_pico, details.audio_output_pico)
    return max(into, *(each or 0 for each in kinds)), max(out, *(each or 0 for each in further))


class PriceBook:
    """Which price holds for whom, when: the newest that is effective; of equals the last one
    set."""

    def __init__(self, prices: Iterable[PriceRecord] = ()) -> None:
        self._customers: dict[str, _Dated] = {}
        self._costs: dict[tuple[str, str], _Dated] = {}
        for price in sorted(prices, key=lambda price: (price.effective_us, price.version)):
            if price.upstream is None:
                dated = self._customers.setdefault(price.model, ([], []))
            else:
                dated = self._costs.setdefault((price.model, price.upstream), ([], []))
            dated[0].append(price.effective_us)
            dated[1].append(price)

    def customer(self, model: str, at_us: int) -> PriceRecord:
        """What callers pay for a public model; nothing where no price is set."""
        dated = self._customers.get(model)
        return FREE if dated is None else _effective(dated, at_us)

    def until_us(self, model: str, at_us: int) -> int:
        """Until when the customer's price of that moment holds."""
        dated = self._customers.get(model)
        if dated is None:
            return NEVER_US
        after = bisect.bisect_right(dated[0], at_us)
        return dated[0][after] if after < len(dated[0]) else NEVER_US

    def cost(self, model: str, upstream: str, at_us: int) -> PriceRecord:
        """What the operator pays for it there; nothing where no price is set."""
        dated = self._costs.get((model, upstream))
        return FREE if dated is None else _effective(dated, at_us)


_Dated = tuple[list[int], list[PriceRecord]]
"""When each begins to hold, in order, and which it is."""


def _effective(dated: _Dated, at_us: int) -> PriceRecord:
    after = bisect.bisect_right(dated[0], at_us)
    return dated[1][after - 1] if after else FREE
