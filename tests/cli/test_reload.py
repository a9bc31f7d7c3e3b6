"""`baton reload`: the workers change, the server stays."""

import pathlib

from tests import running
from tests.cli.conftest import Cli
from tests.test_supervisor import until_others, workers

FIVE = ["a", "b", "c", "d", "e"]


def test_workers_are_swapped(cli: Cli) -> None:
    """It answers before and after, with other workers."""
    with running.serving(cli.home, {"BATON_MODEL": "none"}) as server:
        old = workers(server)
        told = cli("reload")
        assert 0 == told.code
        assert str(server.process.pid) in told.out
        until_others(server, old)
        assert 404 == server.endpoint.complete(prompt="a").status


def test_settings_are_read_anew(cli: Cli) -> None:
    """New workers go by baton.toml as it is now, the port stays; a file that cannot be used is told
    here, and changes nothing."""
    file = cli.home / "baton.toml"
    cli.home.mkdir()
    file.write_text("stops_max = 4\n")
    with running.serving(cli.home, {"BATON_MODEL": "none"}) as server:
        assert 400 == server.endpoint.complete(prompt="a", stop=FIVE).status
        old = workers(server)
        file.write_text("stops_max = 5\nengine_sequences = 2\n")
        assert 0 == cli("reload").code
        until_others(server, old)
        assert 404 == server.endpoint.complete(prompt="a", stop=FIVE).status  # has no such model
        assert "new with this reload: BATON_STOPS_MAX" in server.printed()
        assert "a restart is needed for: BATON_ENGINE_SEQUENCES" in server.printed()
        old = workers(server)
        file.write_text("stops_max = 0\n")
        told = cli("reload")
        assert 1 == told.code
        assert "stops_max" in told.err
        assert old == workers(server)


def test_nobody_to_tell(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Without a server it says where it looked."""
    told = cli("reload")
    assert 1 == told.code
    assert "no server runs on" in told.err
