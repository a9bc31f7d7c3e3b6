"""`baton serve`: options stand over settings, and a model that cannot be had does not stop it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from tests.cli.conftest import Cli

START_TIMEOUT_S = 30.0


def test_options_stand_over_settings_and_sigterm_ends_it(tmp_path: pathlib.Path) -> None:
    """It serves from the folder that --home names, says so, and ends with 0 on SIGTERM."""
    words = ["serve", "--port", "0", "--home", str(tmp_path / "home"), "--model", "none"]
    environment = {**os.environ, "BATON_PORT": "1", "BATON_HOME": "/nowhere"}
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "baton", *words], env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while b"Baton is ready at http://127.0.0.1:" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(START_TIMEOUT_S)
        finally:
            process.kill()
    assert (tmp_path / "home" / "first.key").exists()


def test_wrong_options_are_refused(cli: Cli) -> None:
    """A port that is none never starts anything."""
    assert 2 == cli("serve", "--port", "http").code
    assert 1 == cli("serve", "--port", "70000").code
