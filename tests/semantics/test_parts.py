"""Calls in parts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Usage
from baton.semantics.parts import divide, renumbered, seed_behind, seed_of, total


def call(prompts: int, n: int, seed: int | None = None) -> Call:
    return Call(model="m", prompts=[str(i) for i in range(prompts)], max_tokens=5, n=n, seed=seed)


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 8), st.integers(1, 8))
def test_each_choice_belongs_to_one_part(prompts: int, n: int, most: int, samples: int) -> None:
    """Every choice once, at its own prompt and seed; no part beyond what a call may have."""
    found = {}
    for part in divide(call(prompts, n, seed=10), most, samples):
        assert len(part.call.prompts) <= most
        assert part.call.n <= samples
        deltas = [
            Delta(p * part.call.n + s, f"{prompt}/{part.call.seed + s - 10}")
            for p, prompt in enumerate(part.call.prompts)
            for s in range(part.call.n)
            if part.call.seed is not None
        ]
        for delta in renumbered(deltas, part, n):
            assert delta.index not in found
            found[delta.index] = delta.text
    assert {p * n + s: f"{p}/{s}" for p in range(prompts) for s in range(n)} == found


def test_what_fits_is_one_part() -> None:
    """Limits that are not reached change nothing."""
    [part] = divide(call(3, 4), 3, 4)
    assert call(3, 4) == part.call


def test_a_seed_stays_one() -> None:
    """Beyond the greatest seed the smallest one follows; no seed stays none."""
    assert -(2**63) == seed_of(2**63 - 1, 1)
    assert [None, None] == [part.call.seed for part in divide(call(1, 2), 1, 1)]


def test_a_prompt_counts_once() -> None:
    """Two prompts, three samples each, by six calls: both prompts once, every choice, the details
    alike; what one part estimates makes the sum an estimate."""
    parts = list(divide(call(2, 3), 1, 1))
    used = [(part, Usage(100 * (part.first_prompt + 1), 7, 10, 1, 2, 3, 4, 5)) for part in parts]
    assert Usage(300, 42, 20, 6, 4, 6, 24, 10) == total(used)
    estimated = [*used[:-1], (parts[-1], Usage(200, 7, estimated=True))]
    assert total(estimated).estimated
    assert Usage(0, 0) == total([])


def test_the_seed_of_a_rest() -> None:
    """Another one for each place and sample, always the same, and one that every server takes."""
    found = [
        seed_behind(seed, tokens) for seed in (-(2**63), -1, 0, 7, 2**63 - 1) for tokens in range(9)
    ]
    assert len(found) == len(set(found))
    assert found[0] == seed_behind(-(2**63), 0)
    assert all(0 <= seed < 2**31 for seed in found)
