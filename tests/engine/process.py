"""A real engine process for tests: `python -m baton.engine` on a socket of its own."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

STOP_TIMEOUT_S = 20.0


@dataclasses.dataclass
class EngineProcess:
    """A running engine. Closing `watch` is the death of its parent."""

    process: subprocess.Popen[str]
    socket: str
    watch: int

    def parent_dies(self) -> None:
        if self.watch >= 0:
            os.close(self.watch)
            self.watch = -1


def command(model: pathlib.Path, socket: pathlib.Path, *options: str) -> list[str]:
    words = [sys.executable, "-W", "error", "-m", "baton.engine"]
    return [*words, "--socket", str(socket), "--model", str(model), *options]


@contextlib.contextmanager
def engine_process(
    model: pathlib.Path, folder: pathlib.Path, *options: str
) -> Iterator[EngineProcess]:
    """Start an engine and wait until it is ready; end it at the end."""
    socket = folder / "engine.sock"
    read, write = os.pipe()
    process = subprocess.Popen(
        command(model, socket, "--watch-fd", str(read), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(read,),
    )
    os.close(read)
    running = EngineProcess(process, str(socket), write)
    try:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        yield running
    finally:
        running.parent_dies()
        process.communicate(timeout=STOP_TIMEOUT_S)
