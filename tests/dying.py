"""The death of who writes a log, without a process of its own."""

from baton.stores.log import Log


def die(log: Log) -> None:
    """Close nothing; but what a thread prepares ends with a process, and here goes on."""
    if log._preparing is not None:
        log._preparing.join()
