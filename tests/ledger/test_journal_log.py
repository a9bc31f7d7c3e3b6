"""A journal on disk: all rows of an append or none, recovery at the last checkpoint, and exactly
what was acknowledged after any crash."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.ledger.entries import (
    AttemptRow,
    CheckpointRow,
    EndRow,
    HoldRow,
    SettleRow,
)
from baton.ledger.journal_log import JournalLog, ends_after
from baton.stores import log as logs
from baton.stores.base import StoreUnavailable
from baton.stores.framing import BLOCK_BYTES
from baton.stores.segments import Damaged
from tests.dying import die
from tests.ledger import logged
from tests.ledger.machine_books import fast_folder

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


def ends(folder: pathlib.Path) -> list[tuple[int, str, int, int | None]]:
    return [
        (each.hold_seq, each.end.state, each.end.charge, each.end.completion_tokens)
        for each in logged.ends(folder)
    ]


def test_recovery_charges_the_last_checkpoint(tmp_path: pathlib.Path) -> None:
    """Open holds are interrupted at their last checkpoint, at most at the hold, else for
    nothing."""
    file = JournalLog(tmp_path / "0")
    first, _ = file.open_epoch(1)
    assert 1 == first
    file.append([(1, hold()), (2, hold()), (3, hold()), (4, hold())], [], [])
    file.append([], [CheckpointRow(2, 10, 1, 12), CheckpointRow(3, 10, 99, 208)], [(5, end(1))])
    file.append([], [CheckpointRow(2, 10, 4, 18)], [])
    file.close()
    again = JournalLog(tmp_path / "0")
    assert (9, 3) == again.open_epoch(2)
    expected = [
        (1, "settled", 18, None),
        (2, "interrupted", 18, 4),
        (3, "interrupted", 30, 99),
        (4, "interrupted", 0, None),
    ]
    assert expected == ends(tmp_path / "0")
    assert (9, 0) == again.open_epoch(3), "recovering again changes nothing"
    assert expected == ends(tmp_path / "0")
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


def test_every_value_is_kept(tmp_path: pathlib.Path) -> None:
    """Of holds, checkpoints, ends and their attempts, the greatest and the least included."""
    file = JournalLog(tmp_path / "0")
    file.open_epoch(1)
    row = msgspec.structs.replace(
        end(1),
        spent=(spent("u"), spent("v")),
        hold=msgspec.structs.replace(hold("é\0\U0001f600"), hold=2**63 - 1),
        end=EndRow(
            state="interrupted", charge=-(2**63), fills="n", cached_tokens=7, cache_write_tokens=7
        ),
    )
    file.append([(1, row.hold)], [CheckpointRow(1, 2, 3, 4)], [(2, row)])
    assert [(1, row.hold)] == logged.holds(tmp_path / "0")
    assert [CheckpointRow(1, 2, 3, 4)] == logged.checkpoints(tmp_path / "0")
    [written] = logged.ends(tmp_path / "0")
    assert (2, 1, row.hold, row.end, row.spent) == msgspec.structs.astuple(written)
    file.close()


@pytest.mark.parametrize("amount", [2**64, 2**63, "much"])
def test_append_is_all_or_nothing(tmp_path: pathlib.Path, amount: int) -> None:
    """A row that the book could not take either takes its whole append with it; the file stays
    usable."""
    file = JournalLog(tmp_path / "0")
    file.open_epoch(1)
    with pytest.raises((ValueError, TypeError, OverflowError)):
        file.append([(1, hold()), (2, hold(amount=amount))], [], [(3, end(1))])
    assert [] == logged.ends(tmp_path / "0")
    file.append([(1, hold())], [], [])
    assert ["r"] == logged.names(tmp_path / "0")
    file.close()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MIN", 4 * BLOCK_BYTES)
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MAX", 4 * BLOCK_BYTES)


@pytest.mark.usefixtures("small_segments")
def test_numbers_never_go_back(tmp_path: pathlib.Path) -> None:
    """Neither pruning nor an older copy of the files makes a seq that the book knows appear
    again."""
    file = JournalLog(tmp_path / "0")
    seq, _ = file.open_epoch(1)
    for _ in range(20):
        file.append([], [], [(seq + 1, end(seq))])
        seq += 2
    last = seq - 1
    file.append([(seq, hold())], [], [])
    file.prune(last)
    assert 1 == len(file.log.begun)
    die(file.log)
    file = JournalLog(tmp_path / "0")
    assert (seq + 2, 1) == file.open_epoch(2, last)
    die(file.log)
    assert (seq + 501, 0) == JournalLog(tmp_path / "0").open_epoch(3, folded_seq=seq + 500)


@pytest.mark.usefixtures("small_segments")
def test_what_is_open_outlives_its_segment(tmp_path: pathlib.Path) -> None:
    """A hold and its checkpoint are carried into each next segment until it ends."""
    file = JournalLog(tmp_path / "0")
    file.open_epoch(1)
    file.append([(1, hold("long")), (2, hold("short"))], [CheckpointRow(1, 10, 4, 18)], [])
    for seq in range(3, 43, 2):
        file.append([], [], [(seq + 1, end(seq if seq > 3 else 2))])
        file.prune(seq + 1)
    assert 1 == len(file.log.begun)
    assert "long" not in logged.names(tmp_path / "0"), "its own segment is gone"
    die(file.log)
    assert (44, 1) == JournalLog(tmp_path / "0").open_epoch(2, 42)
    [interruption] = ends_after(tmp_path / "0", 42)
    assert (1, "long", 18) == (
        interruption.hold_seq,
        interruption.hold.request_id,
        interruption.end.charge,
    )


def test_damage_is_told_and_nothing_is_changed(tmp_path: pathlib.Path) -> None:
    """What was acknowledged behind the damage is not dropped, and not skipped."""
    file = JournalLog(tmp_path / "0")
    file.open_epoch(1)
    for seq in (1, 3, 5):
        file.append([], [], [(seq + 1, end(seq))])
    file.close()
    path = tmp_path / "0" / "1.log"
    content = bytearray(path.read_bytes())
    content[2 * BLOCK_BYTES + 100] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        again = JournalLog(tmp_path / "0")
        with pytest.raises(Damaged, match=r"1\.log is damaged at byte 8192"):
            again.open_epoch(2)
        again.close()
        assert content == path.read_bytes()


def test_unusable_folder(tmp_path: pathlib.Path) -> None:
    """One that cannot be made is StoreUnavailable, not a foreign error."""
    with pytest.raises(StoreUnavailable):
        JournalLog(tmp_path / "missing" / "0")


class Model:
    """What a journal must say: `acknowledged` what was appended, `open` what recovery closes."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.acknowledged: dict[int, tuple[str, int]] = {}
        self.open: dict[int, int] = {}
        self.mark = 0
        self.journal = JournalLog(folder)
        self.next, _ = self.journal.open_epoch(1)

    def begin(self, many: int) -> None:
        holds = [(self.next + n, hold(f"r{self.next + n}")) for n in range(many)]
        self.journal.append(holds, [], [])
        self.open |= dict.fromkeys((seq for seq, _ in holds), 0)
        self.next += many

    def tell(self, many: int) -> None:
        told = [CheckpointRow(seq, 1, 2, self.next % 20) for seq in list(self.open)[:many]]
        self.journal.append([], told, [])
        self.open |= {row.hold_seq: row.charge for row in told}

    def finish(self, many: int) -> None:
        ended = list(self.open)[-many:]
        rows = [(self.next + n, end(seq, seq % 30)) for n, seq in enumerate(ended)]
        self.journal.append([], [], rows)
        self.acknowledged |= {seq: ("settled", seq % 30) for seq in ended}
        self.open = {seq: charge for seq, charge in self.open.items() if seq not in ended}
        self.next += len(rows)

    def fold(self, _: int) -> None:
        for each in ends_after(self.folder, self.mark):
            wanted = self.acknowledged.pop(each.hold_seq)
            assert wanted == (each.end.state, each.end.charge)
            self.mark = each.seq
        assert {} == self.acknowledged
        self.journal.prune(self.mark)

    def die(self, cut: int) -> None:
        """While it writes: what is cut off was never acknowledged."""
        number, offset = self.journal.log.durable
        with (self.folder / f"{number}.log").open("r+b") as file:
            file.seek(offset)
            file.write(b"BtJ1" * cut)
        self.journal.close()
        self.journal = JournalLog(self.folder)
        self.next, interrupted = self.journal.open_epoch(2, self.mark)
        assert len(self.open) == interrupted
        self.acknowledged |= {seq: ("interrupted", charge) for seq, charge in self.open.items()}
        self.open = {}


@contextlib.contextmanager
def fresh_folder() -> Iterator[pathlib.Path]:
    folder = pathlib.Path(tempfile.mkdtemp(dir=fast_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


STEPS = st.tuples(st.sampled_from(["begin", "tell", "finish", "fold", "die"]), st.integers(1, 60))


@pytest.mark.usefixtures("small_segments")
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=10, max_size=60))
def test_any_life(steps: list[tuple[str, int]]) -> None:
    """Whatever is held, told, ended, folded and pruned, and wherever it dies: each hold ends once,
    as acknowledged, or interrupted at its last checkpoint."""
    with fresh_folder() as folder:
        model = Model(folder / "0")
        for name, many in steps:
            getattr(model, name)(many)
        model.die(1)
        model.fold(0)
        model.journal.close()


def test_every_cut_of_the_last_commits(tmp_path: pathlib.Path) -> None:
    """The file is cut and garbled at bytes of its last three commits: acknowledged before the cut ⇒
    read, and nothing that was not written."""
    file = JournalLog(tmp_path / "0")
    file.open_epoch(1)
    borders = [file.log.durable[1]]
    for seq in range(1, 80, 26):  # several rows each, so that a commit has several blocks
        rows = [(seq + n + 1, end(seq + n, n)) for n in range(0, 26, 2)]
        file.append([(seq + n, hold("x" * 500)) for n in range(0, 26, 2)], [], rows)
        borders.append(file.log.durable[1])
    file.close()
    content = (tmp_path / "0" / "1.log").read_bytes()
    everything = [end.seq for end in logged.ends(tmp_path / "0")]
    for cut in range(borders[1], borders[-1], 197):
        for rest in (b"", bytes(borders[-1] - cut), b"\xff" * (borders[-1] - cut)):
            (tmp_path / "0" / "1.log").write_bytes(content[:cut] + rest)
            read = [end.seq for end in logged.ends(tmp_path / "0")]
            whole = sum(border <= cut for border in borders) - 1
            assert read in (everything[: 13 * whole], everything[: 13 * (whole + 1)])
