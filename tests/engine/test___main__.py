"""The engine as a process: how it starts, what it says, and how it ends."""

import os
import pathlib
import signal
import stat
import subprocess

import pytest

from baton.engine.__main__ import EXIT_UNUSABLE, Options, parse
from tests.engine.process import STOP_TIMEOUT_S, command, engine_process
from tests.fakes import tiny_gguf


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("model") / "tiny.gguf")


def test_options() -> None:
    """Every setting has its word; what is not given has its default."""
    words = "--socket s --model m --threads 2 --queue-max 9 --prefill-budget-ms 50 --deterministic"
    words += " --no-speculation"
    wanted = Options(
        socket="s",
        model="m",
        threads=2,
        queue_max=9,
        prefill_budget_ms=50,
        deterministic=True,
        no_speculation=True,
    )
    assert wanted == parse(words.split())
    assert (16, 0, -1) == (wanted.sequences, wanted.context_tokens, wanted.watch_fd)


def test_only_its_user_may_connect(tiny_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The socket is there when it says `ready`, replaces a stale one, and is private."""
    (tmp_path / "engine.sock").write_text("stale")
    with engine_process(tiny_file, tmp_path) as engine:
        mode = os.stat(engine.socket).st_mode
        assert stat.S_ISSOCK(mode)
        assert 0o600 == stat.S_IMODE(mode)


def test_it_ends_with_its_parent(tiny_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """When the inherited pipe closes, it ends by itself; an interrupt is its parent's business."""
    with engine_process(tiny_file, tmp_path) as engine:
        engine.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            engine.process.wait(0.2)
        engine.parent_dies()
        assert 0 == engine.process.wait(STOP_TIMEOUT_S)


def test_it_ends_on_sigterm(tiny_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """At once, with exit code 0 and nothing on standard error."""
    with engine_process(tiny_file, tmp_path) as engine:
        engine.process.terminate()
        assert 0 == engine.process.wait(STOP_TIMEOUT_S)
        assert engine.process.stderr is not None
        assert "" == engine.process.stderr.read()


def test_a_socket_that_cannot_be_is_told(tiny_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """One line, no trace: a path beyond what Unix sockets allow, a folder that is not there."""
    done = subprocess.run(
        command(tiny_file, tmp_path / "none" / "e.sock"),
        capture_output=True,
        text=True,
        timeout=STOP_TIMEOUT_S,
    )
    assert EXIT_UNUSABLE == done.returncode
    assert done.stderr.startswith("baton engine: cannot listen on ")
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize("content", [None, b"no model"])
def test_an_unusable_model_is_told(tmp_path: pathlib.Path, content: bytes | None) -> None:
    """One line that names the file and the remedy, and the exit code for `do not restart`."""
    model = tmp_path / "broken.gguf"
    if content is not None:
        model.write_bytes(content)
    done = subprocess.run(
        command(model, tmp_path / "e.sock"), capture_output=True, text=True, timeout=STOP_TIMEOUT_S
    )
    assert (EXIT_UNUSABLE, "") == (done.returncode, done.stdout)
    assert 1 == done.stderr.count("\n")
    assert "broken.gguf" in done.stderr
    assert "fetch the model again" in done.stderr
