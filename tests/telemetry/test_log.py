"""The access log: whole JSON lines, bounded, through rotations."""

import asyncio
import json
import os
import pathlib
import time

import pytest

from baton.telemetry import log
from baton.telemetry.log import AccessLine, AccessLog, now, parts
from tests.hearing import hearing


def line(number: int = 0, status: int = 200) -> AccessLine:
    return AccessLine(
        time=now(),
        request_id=f"req-{number}",
        status=status,
        total_ms=12.5,
        key="key_1",
        model="tiny",
        upstream="embedded",
        prompt_tokens=3,
        completion_tokens=16,
        charge_nano=0,
        queue_ms=0.1,
        first_byte_ms=4.0,
        error="overloaded" if status >= 500 else None,
    )


def logged(path: pathlib.Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_each_request_is_one_json_line(tmp_path: pathlib.Path) -> None:
    """What was appended stands in the file after stop, in order, with its figures."""
    path = tmp_path / "access.log"

    async def run() -> None:
        access = AccessLog(str(path))
        access.start()
        for number in range(3):
            access.append(line(number))
        await access.stop()

    asyncio.run(run())
    assert ["req-0", "req-1", "req-2"] == [entry["request_id"] for entry in logged(path)]
    first = logged(path)[0]
    assert (200, 12.5, 16, "tiny") == (
        first["status"],
        first["total_ms"],
        first["completion_tokens"],
        first["model"],
    )
    assert str(first["time"]).endswith("Z")


def test_lines_are_written_without_a_stop(tmp_path: pathlib.Path) -> None:
    """A full buffer is written at once, not after the interval."""
    path = tmp_path / "access.log"

    async def run() -> None:
        access = AccessLog(str(path))
        access.start()
        for number in range(log.BUFFER_LINES):
            access.append(line(number))
        deadline = time.monotonic() + 5
        while not path.exists() or path.read_text().count("\n") < log.BUFFER_LINES:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        assert log.BUFFER_LINES == len(logged(path))
        await access.stop()

    asyncio.run(run())


def test_a_rotated_file_is_opened_anew(tmp_path: pathlib.Path) -> None:
    """After logrotate has moved the file, lines go to a new one at the old path."""
    path = tmp_path / "access.log"
    access = AccessLog(str(path))
    access.append(line(1))
    access.flush()
    path.rename(tmp_path / "access.log.1")
    access.append(line(2))
    access.flush()
    asyncio.run(access.stop())
    assert ["req-2"] == [entry["request_id"] for entry in logged(path)]
    assert ["req-1"] == [entry["request_id"] for entry in logged(tmp_path / "access.log.1")]


def test_without_a_target_only_our_own_failures_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    """The default is silent for 200 and 404, and speaks on standard error for 503."""
    access = AccessLog("")
    for number, status in enumerate((200, 404, 503)):
        access.append(line(number, status))
    access.flush()
    out, err = capfd.readouterr()
    assert "" == out
    assert [("req-2", "overloaded")] == [
        (entry["request_id"], entry["error"]) for entry in map(json.loads, err.splitlines())
    ]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """While nothing is written the oldest lines give way, and are counted as lost."""
    monkeypatch.setattr(log, "WAITING_LINES_MAX", 4)
    access = AccessLog(str(tmp_path / "access.log"))
    for number in range(6):
        access.append(line(number))
    access.flush()
    asyncio.run(access.stop())
    assert 2 == access.lost
    names = [entry["request_id"] for entry in logged(tmp_path / "access.log")]
    assert ["req-2", "req-3", "req-4", "req-5"] == names


def test_a_disk_that_refuses_loses_lines_but_stops_nothing(tmp_path: pathlib.Path) -> None:
    """An unwritable path is counted, not raised."""
    access = AccessLog(str(tmp_path / "missing" / "access.log"))
    access.append(line())
    with hearing() as seen:
        access.flush()
    assert 1 == access.lost
    assert ["access log not written"] == [entry["event"] for entry in seen]


def test_pipes_get_whole_lines() -> None:
    """Pieces hold whole lines, are small enough to stay whole, and lose nothing."""
    body = b"".join(b"x" * size + b"\n" for size in (10, 3_000, 2_000, 9_000, 5))
    pieces = parts(body)
    assert body == b"".join(pieces)
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= 4_096 or 1 == piece.count(b"\n") for piece in pieces)


def test_a_line_costs_little() -> None:
    """Building and appending a line is cheap (≤ 2 µs on a quiet core; the bound here is ten times
    that).
    """
    access, best_s = AccessLog(os.devnull), float("inf")
    for _ in range(5):
        start = time.thread_time()
        for number in range(2_000):
            access.append(line(number))
        best_s = min(best_s, (time.thread_time() - start) / 2_000)
    assert best_s < 20e-6, f"{best_s * 1e6:.2f} µs a line"
