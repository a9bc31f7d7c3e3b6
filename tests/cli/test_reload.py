"""`baton reload`: the workers change, the server stays."""

import pathlib
import time

from tests import running
from tests.cli.conftest import Cli


def workers(server: running.Server) -> set[int]:
    return {pid for pid, command in server.processes().items() if "baton.worker" in command}


def test_workers_are_swapped(cli: Cli) -> None:
    """It answers before and after, with other workers."""
    with running.serving(cli.home, {"BATON_MODEL": "none"}) as server:
        old = workers(server)
        told = cli("reload")
        assert 0 == told.code
        assert str(server.process.pid) in told.out
        deadline = time.monotonic() + running.START_TIMEOUT_S
        while old & workers(server) or not workers(server):
            assert time.monotonic() < deadline, server.printed()
            time.sleep(running.POLL_S)
        assert 404 == server.endpoint.complete(prompt="a").status


def test_nobody_to_tell(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Without a server it says where it looked."""
    told = cli("reload")
    assert 1 == told.code
    assert "no server runs on" in told.err
