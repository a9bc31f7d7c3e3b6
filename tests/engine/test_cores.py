"""One core stays free, and what the operator has set stays."""

import os

from baton.engine.cores import default_threads, openmp_environment, usable_cores, usage


def test_usable_cores() -> None:
    """At least one, and no more than this process may run on."""
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


def test_one_core_is_left() -> None:
    """With as many threads as cores, one busy neighbour stops the engine nearly dead."""
    assert default_threads() == max(1, usable_cores() - 1)


def test_fewer_cores_by_affinity() -> None:
    """What counts is what this process may use, not what the machine has."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert (1, 1) == (usable_cores(), default_threads())
    finally:
        os.sched_setaffinity(0, before)


def test_the_operators_variables_stay() -> None:
    """Only what is missing is added."""
    assert {"OPENBLAS_NUM_THREADS": "1"} == openmp_environment(3, {"OMP_NUM_THREADS": "2"})


def test_what_the_system_tells_only_grows() -> None:
    """Seconds of waiting threads and of idle cores, ever since."""
    before = usage()
    sum(range(1_000_000))
    after = usage()
    assert before is not None
    assert after is not None
    assert 0 <= before.delayed_s <= after.delayed_s
    assert 0 < before.idle_s <= after.idle_s
