"""What stands in a journal's files, read as a stranger would."""

import pathlib

from baton.ledger.entries import CheckpointRow, HoldRow
from baton.ledger.journal_log import Batch, Ended, batch_of
from baton.stores import segments

EVERYTHING = -1


def batches(folder: pathlib.Path) -> list[Batch]:
    """All that is still there, in order."""
    return [
        batch_of(payload) for part in segments.read(folder, EVERYTHING) for payload in part.payloads
    ]


def holds(folder: pathlib.Path) -> list[tuple[int, HoldRow]]:
    """Every hold that was written, whether it ended or not."""
    return [hold for batch in batches(folder) for hold in batch.holds]


def checkpoints(folder: pathlib.Path) -> list[CheckpointRow]:
    return [point for batch in batches(folder) for point in batch.checkpoints]


def ends(folder: pathlib.Path) -> list[Ended]:
    """Every end, also second ones."""
    return [end for batch in batches(folder) for end in batch.ends]


def names(folder: pathlib.Path) -> list[str]:
    """The requests that were held."""
    return [row.request_id for _, row in holds(folder)]


def ended(folder: pathlib.Path) -> list[tuple[int, str, int]]:
    """Holds that ended, how, and for how much."""
    return [(end.hold_seq, end.end.state, end.end.charge) for end in ends(folder)]
