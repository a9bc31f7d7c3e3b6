"""Prices: exact, rounded once, and a bound that no usage exceeds."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.prices import PriceBook, bound, charge, free, tokens_upper
from baton.semantics.events import Usage
from baton.stores.base import PriceRecord

picos = st.integers(0, 10**9)
prices = st.builds(
    PriceRecord,
    version=st.just(1),
    model=st.just("m"),
    effective_us=st.just(0),
    input_pico=picos,
    cached_input_pico=st.none() | picos,
    output_pico=picos,
    request_nano=st.integers(0, 10**9),
)
counts = st.integers(0, 10**6)


@given(prices, counts, counts, counts)
def test_charge_is_the_exact_sum_rounded_once(
    price: PriceRecord, prompt: int, cached: int, completion: int
) -> None:
    """The charge is off the exact sum by half a nano-USD at most, and an integer."""
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    cached_price = price.input_pico if price.cached_input_pico is None else price.cached_input_pico
    cached = min(cached, prompt)
    pico = (prompt - cached) * price.input_pico + cached * cached_price
    exact = Fraction(pico + completion * price.output_pico, 1000) + price.request_nano
    actual = charge(usage, price)
    assert isinstance(actual, int)
    assert abs(actual - exact) <= Fraction(1, 2)


@given(prices, counts, counts, st.integers(1, 64), st.integers(0, 4096), st.data())
def test_bound_covers_every_honest_usage(
    price: PriceRecord,
    room: int,
    cached: int,
    completions: int,
    max_tokens: int,
    data: st.DataObject,
) -> None:
    """No usage within the bounds costs more than the hold (I6)."""
    usage = Usage(
        prompt_tokens=data.draw(st.integers(0, room)),
        completion_tokens=data.draw(st.integers(0, completions * max_tokens)),
        cached_tokens=cached,
    )
    assert charge(usage, price) <= bound(price, room, completions, max_tokens)


def test_rounds_half_up() -> None:
    """499 pico are nothing, 500 are one nano."""
    cheap = PriceRecord(version=1, model="m", effective_us=0, input_pico=1)
    worth = [charge(Usage(tokens, 0), cheap) for tokens in (499, 500, 1_499, 1_500)]
    assert [0, 1, 1, 2] == worth


@given(st.text())
def test_tokens_upper_is_bytes_and_some(text: str) -> None:
    """A text counts as many tokens as it has bytes, and room for what a tokenizer adds."""
    assert len(text.encode()) + 8 == tokens_upper(text)


def test_token_ids_count_exactly() -> None:
    """Ids are tokens already."""
    assert 3 == tokens_upper([5, 6, 7])


def test_effective_dates() -> None:
    """The newest price that is effective holds; of two with one date the one set last."""
    dated = [
        PriceRecord(version=1, model="m", effective_us=100, input_pico=1),
        PriceRecord(version=2, model="m", effective_us=300, input_pico=2),
        PriceRecord(version=3, model="m", effective_us=200, input_pico=3),
        PriceRecord(version=4, model="m", effective_us=300, input_pico=4),
        PriceRecord(version=5, model="m", upstream="u", effective_us=0, input_pico=5),
    ]
    book = PriceBook(dated)
    versions = {at: book.customer("m", at).version for at in (99, 100, 199, 200, 299, 300, 10**9)}
    assert {99: 0, 100: 1, 199: 1, 200: 3, 299: 3, 300: 4, 10**9: 4} == versions
    assert 5 == book.cost("m", "u", 0).version
    assert free("m") == book.cost("m", "elsewhere", 10**9)
    assert free("other") == book.customer("other", 10**9)
