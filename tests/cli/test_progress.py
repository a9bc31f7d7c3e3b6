"""A long fetch shows itself, and a fetch of nothing says nothing."""

import io

import pytest

from baton.cli.progress import MIB, shown


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The first and the last step are told; many in between are not one line each."""
    with shown("Fetching x") as progress:
        for done in range(0, 101):
            progress("x", done * MIB, 100 * MIB)
    lines = capsys.readouterr().err.splitlines()
    assert ["Fetching x: 0 of 100 MiB", "Fetching x: 100 of 100 MiB"] == lines


def test_unknown_size_is_not_invented(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a length only what has come is told."""
    with shown("Fetching x") as progress:
        progress("x", 3 * MIB, 0)
    assert "Fetching x: 3 MiB\n" == capsys.readouterr().err


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sees the title and the amount; nothing is written when nothing comes."""
    for steps, seen in (([(5 * MIB, 10 * MIB)], True), ([], False)):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with shown("Fetching x") as progress:
            for done, total in steps:
                progress("x", done, total)
        assert seen is ("Fetching x" in terminal.getvalue())
