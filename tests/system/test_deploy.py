"""The unit file for systemd: what it sets exists, and it gives a drain the time that it takes."""

import pathlib
import shutil
import subprocess

import pytest

from baton.config import Settings

UNIT = pathlib.Path(__file__).parent.parent.parent / "deploy" / "baton.service"


def values(name: str) -> list[str]:
    """Every value that the unit gives to a name."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_its_variables_are_settings() -> None:
    """A misspelt one would be ignored in silence."""
    names = {value.partition("=")[0] for value in values("Environment")}
    assert names
    known = {f"BATON_{name.upper()}" for name in Settings.__struct_fields__}
    assert names <= known


def test_a_drain_has_time() -> None:
    """The parent alone is told, and is not killed while streams may still end."""
    assert ["mixed"] == values("KillMode")
    assert ["/bin/kill -HUP $MAINPID"] == values("ExecReload")
    assert Settings().drain_timeout_s < float(values("TimeoutStopSec")[0])


def test_it_is_started_however_often_it_fails() -> None:
    """Where PostgreSQL is away it ends after a second: systemd's own limit, five starts in ten
    seconds, would leave it down for good."""
    assert ["0"] == values("StartLimitIntervalSec")
    assert ["on-failure"] == values("Restart")


def test_the_engine_sees_its_neighbours() -> None:
    """`engine/cores.py` reads /proc/stat, which that setting hides: it would compute with all of
    its threads beside whatever else runs."""
    assert "pid" not in values("ProcSubset")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_understands_it(tmp_path: pathlib.Path) -> None:
    """Every directive is known to it."""
    unit = tmp_path / "baton.service"
    text = UNIT.read_text(encoding="utf-8").replace("/opt/baton/.venv/bin/baton", "/bin/true")
    unit.write_text(text.replace("/opt/baton", "/tmp"), encoding="utf-8")
    told = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert "baton.service" not in told.stderr
