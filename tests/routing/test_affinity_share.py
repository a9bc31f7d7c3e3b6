"""Affinity on workloads of shared prefixes: what four caches find, beside one that has all."""

import pytest

from tests.fakes.shared_prefixes import WORKLOADS, simulate

SHARE_MIN = 0.9
IMBALANCE_MAX = 1.3


@pytest.mark.parametrize("workload", WORKLOADS)
def test_cached_share_and_balance(workload: str) -> None:
    """At least nine tenths of what is possible is found, and nobody works much more than others."""
    found = simulate(workload)
    assert found.share >= SHARE_MIN, found
    assert found.requests <= IMBALANCE_MAX, found
    assert found.under_way <= IMBALANCE_MAX, found


def test_what_affinity_is_good_for() -> None:
    """Without it the same replicas find far less: the simulation can tell."""
    assert simulate("conversations", blind=True).share < SHARE_MIN
