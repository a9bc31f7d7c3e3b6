"""Prices: exact, rounded once, and a bound that no usage exceeds."""

from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.prices import FREE, NEVER_US, PriceBook, bound, charge, tokens_upper
from baton.semantics.events import Usage
from baton.stores.base import PriceDetails, PriceRecord

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
maybe = st.none() | counts
detailed = st.builds(
    msgspec.structs.replace,
    prices,
    details=st.builds(
        PriceDetails,
        **{name: st.none() | picos for name in PriceDetails.__struct_fields__},
    ),
)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    cached_tokens=maybe,
    reasoning_tokens=maybe,
    audio_prompt_tokens=maybe,
    image_prompt_tokens=maybe,
    audio_completion_tokens=maybe,
    cache_write_tokens=maybe,
)


@given(detailed, usages, counts, counts)
def test_bound_covers_every_kind_of_token(
    price: PriceRecord, usage: Usage, more_prompt: int, more_completion: int
) -> None:
    """Whatever kinds an upstream says that the tokens are, also more than there are, no usage
    within the bounds costs more than the hold (I6)."""
    room, most = usage.prompt_tokens + more_prompt, usage.completion_tokens + more_completion
    assert 0 <= charge(usage, price) <= bound(price, room, 1, most)


@given(prices, usages)
def test_kinds_without_a_price_are_plain_tokens(price: PriceRecord, usage: Usage) -> None:
    """Details that say nothing change nothing."""
    assert charge(usage, price) == charge(
        usage, msgspec.structs.replace(price, details=PriceDetails())
    )


@given(usages, st.integers(1, 10**6))
def test_each_token_is_charged_once(usage: Usage, pico: int) -> None:
    """Where every kind costs the same, it is that price for every token."""
    kinds = dict.fromkeys(PriceDetails.__struct_fields__, pico)
    price = PriceRecord(
        version=1,
        model="m",
        effective_us=0,
        input_pico=pico,
        cached_input_pico=pico,
        output_pico=pico,
        details=PriceDetails(**kinds),
    )
    tokens = usage.prompt_tokens + usage.completion_tokens
    assert (tokens * pico + 500) // 1000 == charge(usage, price)


def test_kinds_of_tokens() -> None:
    """A request with some of each, worked out by hand."""
    price = PriceRecord(
        version=1,
        model="m",
        effective_us=0,
        input_pico=1_000,
        cached_input_pico=100,
        output_pico=10_000,
        request_nano=7,
        details=PriceDetails(
            cache_write_pico=1_250,
            audio_input_pico=5_000,
            image_input_pico=2_000,
            audio_output_pico=40_000,
            reasoning_pico=20_000,
        ),
    )
    usage = Usage(
        prompt_tokens=100,
        completion_tokens=50,
        cached_tokens=40,
        cache_write_tokens=20,
        image_prompt_tokens=10,
        audio_prompt_tokens=5,
        reasoning_tokens=30,
        audio_completion_tokens=15,
    )
    prompt = 40 * 100 + 20 * 1_250 + 10 * 2_000 + 5 * 5_000 + 25 * 1_000
    completion = 30 * 20_000 + 15 * 40_000 + 5 * 10_000
    assert 7 + (prompt + completion + 500) // 1000 == charge(usage, price)


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


@given(prices, counts, st.integers(1, 64), st.integers(0, 4096))
def test_bound_is_what_the_longest_answer_costs(
    price: PriceRecord, room: int, completions: int, max_tokens: int
) -> None:
    """No more is held than may be charged, details without a price or not."""
    cached = room if (price.cached_input_pico or 0) > price.input_pico else 0
    longest = Usage(room, completions * max_tokens, cached_tokens=cached)
    held = bound(price, room, completions, max_tokens)
    assert charge(longest, price) == held
    undetailed = msgspec.structs.replace(price, details=PriceDetails())
    assert held == bound(undetailed, room, completions, max_tokens)


def test_what_was_not_cached_is_charged_in_full() -> None:
    """Nor does a count that cannot be make a request dearer or cheaper."""
    price = PriceRecord(
        version=1, model="m", effective_us=0, input_pico=1_000, cached_input_pico=100
    )
    detailed = msgspec.structs.replace(price, details=PriceDetails(image_input_pico=100))
    cached = (None, 0, -3, 1, 10, 11)
    expected = [100, 100, 100, 91, 10, 10]
    in_tens = [Usage(100, 0, tens and tens * 10) for tens in cached]
    assert expected == [charge(usage, price) for usage in in_tens]
    assert expected == [charge(usage, detailed) for usage in in_tens]
    in_tens = [Usage(100, 0, image_prompt_tokens=tens and tens * 10) for tens in cached]
    assert expected == [charge(usage, detailed) for usage in in_tens]


def test_rounds_half_up() -> None:
    """499 pico are nothing, 500 are one nano."""
    cheap = PriceRecord(version=1, model="m", effective_us=0, input_pico=1)
    worth = [charge(Usage(tokens, 0), cheap) for tokens in (499, 500, 1_499, 1_500)]
    assert [0, 1, 1, 2] == worth
    detailed = msgspec.structs.replace(cheap, details=PriceDetails(image_input_pico=1))
    assert worth == [charge(Usage(tokens, 0), detailed) for tokens in (499, 500, 1_499, 1_500)]
    assert worth == [bound(cheap, tokens, 1, 0) for tokens in (499, 500, 1_499, 1_500)]
    assert 0 == bound(msgspec.structs.replace(FREE, details=PriceDetails()), 1_000, 1, 1_000)


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
    assert FREE == book.cost("m", "elsewhere", 10**9)
    assert FREE == book.customer("other", 10**9)
    until = {at: book.until_us("m", at) for at in (99, 100, 199, 200, 299, 300, 10**9)}
    assert {99: 100, 100: 200, 199: 200, 200: 300, 299: 300, 300: NEVER_US, 10**9: NEVER_US} == (
        until
    )
    assert NEVER_US == book.until_us("other", 0)
