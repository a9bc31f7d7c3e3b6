"""A journal file: all rows of an append or none, one end a hold, recovery at the last
checkpoint."""

import pathlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.ledger.entries import (
    REQUEST_COLUMNS,
    AttemptRow,
    CheckpointRow,
    EndRow,
    HoldRow,
    SettleRow,
)
from baton.ledger.journal_file import PRUNED_ROWS_MAX, RARE, JournalFile
from baton.stores.base import StoreUnavailable

OTHER_COUNTS = (
    "cached_tokens",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "image_prompt_tokens",
    "audio_completion_tokens",
    "cache_write_tokens",
)


def hold(name: str = "r", amount: int = 30) -> HoldRow:
    return HoldRow(name, 1, "key_1", "key:key_1", "", "m", "somebody", True, amount, 1)


def end(hold_seq: int, charge: int = 18) -> SettleRow:
    return SettleRow(hold_seq, hold(), EndRow(state="settled", charge=charge))


def ends(file: JournalFile) -> list[tuple[int, str, int, int | None]]:
    query = "SELECT hold_seq, state, charge, completion_tokens FROM settle ORDER BY seq"
    return file._connection.execute(query).fetchall()


def test_recovery_charges_the_last_checkpoint(tmp_path: pathlib.Path) -> None:
    """Open holds are interrupted at their last checkpoint, at most at the hold, else for
    nothing."""
    file = JournalFile(tmp_path / "0.db")
    first, _ = file.open_epoch(1)
    assert 1 == first
    file.append([(1, hold()), (2, hold()), (3, hold()), (4, hold())], [], [])
    file.append([], [CheckpointRow(2, 10, 1, 12), CheckpointRow(3, 10, 99, 208)], [(5, end(1))])
    file.append([], [CheckpointRow(2, 10, 4, 18)], [])
    file.close()
    again = JournalFile(tmp_path / "0.db")
    assert (9, 3) == again.open_epoch(2)
    expected = [
        (1, "settled", 18, None),
        (2, "interrupted", 18, 4),
        (3, "interrupted", 30, 99),
        (4, "interrupted", 0, None),
    ]
    assert expected == ends(again)
    assert (9, 0) == again.open_epoch(3), "recovering again changes nothing"
    assert expected == ends(again)
    again.close()


def spent(upstream: str) -> AttemptRow:
    return AttemptRow(
        upstream=upstream,
        cost=4,
        price_version=2,
        prompt_tokens=3,
        completion_tokens=1,
        estimated=False,
        **dict.fromkeys(OTHER_COUNTS),
    )


def test_attempts_go_with_their_end(tmp_path: pathlib.Path) -> None:
    """They are written with it and pruned with it."""
    file = JournalFile(tmp_path / "0.db")
    row = msgspec.structs.replace(end(1), spent=(spent("u"), spent("v")))
    file.append([], [], [(2, row), (3, end(2))])
    query = "SELECT seq, n, hold_seq, upstream, cost FROM attempt"
    rows = file._connection.execute(query).fetchall()
    assert [(2, 1, 1, "u", 4), (2, 2, 1, "v", 4)] == rows
    file.prune(3)
    assert [] == file._connection.execute(query).fetchall()
    file.close()


def test_a_file_of_an_earlier_version(tmp_path: pathlib.Path) -> None:
    """It gets the columns that it lacks; what is in it stays, and its costs have no price."""
    file = JournalFile(tmp_path / "0.db")
    file._connection.execute("ALTER TABLE settle DROP COLUMN cost_version")
    file._connection.execute("DROP TABLE attempt")
    values = (5, 4, "r", 1, "k", "a", "", "m", None, 0, 9, 1, "u", "settled", 9, 0, 7)
    more = (None,) * 8 + (0,) + (None,) * 4 + (200, None, None, "", 0, 1)
    file._connection.execute(f"INSERT INTO settle VALUES({', '.join('?' * 36)})", values + more)
    file.close()
    again = JournalFile(tmp_path / "0.db")
    again.append([], [], [(6, end(3))])
    query = "SELECT seq, cost, cost_version FROM settle ORDER BY seq"
    assert [(5, 7, None), (6, 0, None)] == again._connection.execute(query).fetchall()
    again.close()


def test_second_end_is_ignored(tmp_path: pathlib.Path) -> None:
    """The first end of a hold counts, also within one append."""
    file = JournalFile(tmp_path / "0.db")
    file.append([(1, hold())], [], [(2, end(1, 5)), (3, end(1, 6))])
    file.append([], [], [(4, end(1, 7))])
    assert [(1, "settled", 5, None)] == ends(file)
    file.close()


def test_append_is_all_or_nothing(tmp_path: pathlib.Path) -> None:
    """A row that cannot be stored takes its whole append with it; the file stays usable."""
    file = JournalFile(tmp_path / "0.db")
    with pytest.raises(OverflowError):
        file.append([(1, hold()), (2, hold(amount=2**64))], [], [(3, end(1))])
    assert [] == ends(file)
    file.append([(1, hold())], [], [])
    assert [(1,)] == file._connection.execute("SELECT seq FROM hold").fetchall()
    file.close()


def test_numbers_never_go_back(tmp_path: pathlib.Path) -> None:
    """Neither pruning nor an older copy of the file makes a seq that the book knows appear
    again."""
    file = JournalFile(tmp_path / "0.db")
    first, _ = file.open_epoch(1)
    rows = PRUNED_ROWS_MAX + 10
    file.append([(first + n, hold()) for n in range(rows)], [], [])
    file.append([], [], [(first + rows + n, end(first + n)) for n in range(rows)])
    last = first + 2 * rows - 1
    assert file.prune(last)
    assert not file.prune(last)
    assert [(first + rows - 1, "settled", 18, None)] == ends(file)
    assert (last + 1, 0) == file.open_epoch(2)
    assert (last + 501, 0) == file.open_epoch(3, folded_seq=last + 500)
    file.close()


def test_large_append(tmp_path: pathlib.Path) -> None:
    """More rows than one statement takes are still one transaction, in order."""
    file = JournalFile(tmp_path / "0.db")
    holds = [(n, hold(f"r{n}")) for n in range(1, 301)]
    file.append(holds, [], [])
    query = "SELECT seq, request_id FROM hold ORDER BY seq"
    assert [(n, row.request_id) for n, row in holds] == file._connection.execute(query).fetchall()
    file.close()


OVERLOADED = "overloaded"


@settings(deadline=None, max_examples=40)  # a file and some commits each
@given(
    batches=st.lists(
        st.lists(st.sets(st.sampled_from([*RARE, "cached_tokens"])), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_every_column_is_kept(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[set[str]]]
) -> None:
    """Whichever columns the ends of a batch have, and whichever they leave empty."""
    file = JournalFile(tmp_path_factory.mktemp("journal") / "0.db")
    seq, expected = 0, []
    for batch in batches:
        rows = []
        for present in batch:
            seq += 2
            told = dict.fromkeys(present - {"user", "error_code"}, 7)
            ended = msgspec.structs.replace(
                EndRow(state="settled", charge=seq, upstream="u"),
                error_code=OVERLOADED if "error_code" in present else None,
                **told,
            )
            user = "somebody" if "user" in present else None
            row = SettleRow(seq - 1, msgspec.structs.replace(hold(), user=user), ended)
            rows.append((seq, row))
            values = msgspec.structs.astuple(row.hold) + msgspec.structs.astuple(row.end)
            expected.append((seq, seq - 1, *values))
        file.append([], [], rows)
    query = f"SELECT seq, hold_seq, {', '.join(REQUEST_COLUMNS)} FROM settle ORDER BY seq"
    assert expected == file._connection.execute(query).fetchall()
    file.close()


def test_unusable_file(tmp_path: pathlib.Path) -> None:
    """A file that is no journal, or cannot be opened, is StoreUnavailable, not a foreign error."""
    (tmp_path / "0.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreUnavailable):
        JournalFile(tmp_path / "0.db")
    with pytest.raises(StoreUnavailable):
        JournalFile(tmp_path / "missing" / "0.db")
