"""`baton engine`: the engine process alone, on the settings of this machine."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

import msgspec

from baton import config
from baton.engine import wire
from tests.cli.conftest import Cli
from tests.fakes import tiny_gguf

START_TIMEOUT_S = 30.0


def describe(path: pathlib.Path) -> wire.Description:
    """Ask the engine behind a socket what it runs."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_TIMEOUT_S)
        connection.connect(str(path))
        connection.sendall(wire.frame(msgspec.msgpack.Encoder(), wire.Describe()))
        stream = connection.makefile("rb")
        (length,) = wire.HEADER.unpack(stream.read(wire.HEADER.size))
        return msgspec.msgpack.decode(stream.read(length), type=wire.Description)


def test_it_runs_the_configured_model(tmp_path: pathlib.Path) -> None:
    """The engine answers at its socket in the data folder, with the model of BATON_MODEL."""
    model = tiny_gguf.write(tmp_path / "tiny.gguf")
    home = tmp_path / "home"
    environment = {**os.environ, "BATON_HOME": str(home), "BATON_MODEL": str(model)}
    command = [sys.executable, "-m", "baton", "engine"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    found = describe(config.load(environment).engine_socket)
                    break
                time.sleep(0.05)
        finally:
            process.kill()
    assert ("llama", tiny_gguf.VOCABULARY_SIZE) == (found.architecture, found.vocabulary_size)


def test_without_a_model_there_is_nothing_to_run(cli: Cli) -> None:
    """BATON_MODEL=none fails with a sentence."""
    done = cli("engine")
    assert (1, True) == (done.code, "no embedded model" in done.err)
