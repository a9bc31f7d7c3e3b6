"""Baton's own processes, started in a folder that holds files named as their modules."""

import pathlib
import socket
import subprocess

import pytest

from baton import staged
from baton.child import MODULE
from baton.upstreams.vocabularies import COMMAND

STRANGE = 'raise SystemExit("taken from the folder")\n'
TIMEOUT_S = 60.0


@pytest.fixture(autouse=True)
def strange(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this process is while a test runs: what lies there may be no module of Baton's."""
    for name in ("json", "asyncio", "struct", "pip", "msgspec"):
        (tmp_path / f"{name}.py").write_text(STRANGE)
    (tmp_path / "baton").mkdir()
    (tmp_path / "baton" / "__init__.py").write_text(STRANGE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(COMMAND, id="vocabulary"),
        pytest.param([*MODULE, "baton.engine", "--help"], id="engine"),
        pytest.param([*MODULE, "pip", "--version"], id="pip"),
    ],
)
def test_none_takes_modules_from_where_it_is_started(words: list[str]) -> None:
    """They begin as they do elsewhere."""
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert 0 == done.returncode, done.stderr


def test_nor_does_a_worker() -> None:
    """Its supervisor is gone before it said anything: it ends well."""
    with staged.start(0) as worker:
        worker._told.shutdown(socket.SHUT_RDWR)
        assert 0 == worker.process.wait(TIMEOUT_S)
