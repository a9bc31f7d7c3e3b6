"""The mark of a running supervisor: there while it runs, and never a stranger's number."""

import os
import pathlib

from baton.running import marked, pid_file, running


def test_a_mark_is_there_while_it_runs(tmp_path: pathlib.Path) -> None:
    """Before and after there is none, although the file stays."""
    assert running(tmp_path) is None
    with marked(tmp_path):
        assert os.getpid() == running(tmp_path)
    assert pid_file(tmp_path).exists()
    assert running(tmp_path) is None


def test_the_first_one_is_marked(tmp_path: pathlib.Path) -> None:
    """A second supervisor on the same home does not take the mark away."""
    with marked(tmp_path):
        first = pid_file(tmp_path).read_text()
        with marked(tmp_path):
            assert first == pid_file(tmp_path).read_text()
        assert os.getpid() == running(tmp_path)


def test_a_broken_file_is_no_mark(tmp_path: pathlib.Path) -> None:
    """Whatever is in a file that nobody holds, nobody runs."""
    pid_file(tmp_path).parent.mkdir()
    pid_file(tmp_path).write_text("what?")
    assert running(tmp_path) is None
