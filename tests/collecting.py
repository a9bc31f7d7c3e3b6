"""What work leaves to the garbage collector, which looks seldom in a worker."""

import gc
from collections.abc import Callable


def left_to_the_collector(work: Callable[[], object]) -> int:
    """So many objects, once it has been done a few times."""
    for _ in range(3):
        work()
    gc.collect()
    gc.disable()
    try:
        work()
        return gc.collect()
    finally:
        gc.enable()
