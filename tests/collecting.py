"""What work leaves to the garbage collector, which looks seldom in a worker."""

import gc
from collections.abc import Callable

PASSES = 3
"""What is closed when it is collected, as stores that tests leave, goes in the pass after that."""


def left_to_the_collector(work: Callable[[], object]) -> int:
    """So many objects, once it has been done a few times."""
    for _ in range(3):
        work()
    for _ in range(PASSES):
        gc.collect()
    gc.disable()
    try:
        work()
        return gc.collect()
    finally:
        gc.enable()
