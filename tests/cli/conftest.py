"""The command line in this process, on a data folder of the test's own."""

import io
import json
import pathlib
from typing import Any, NamedTuple

import pytest

from baton.cli.main import run


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Runs commands: `cli("key", "list", "--json").json`."""

    def __init__(
        self, home: pathlib.Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.home, self._patch, self._capture = home, patch, capture
        for name, value in {"HOME": home, "CACHE": "", "PORT": "0", "MODEL": "none"}.items():
            patch.setenv(f"BATON_{name}".replace("_CACHE", "_MODEL_CACHE"), str(value))

    def __call__(self, *words: str, stdin: str = "") -> Done:
        self._capture.readouterr()
        self._patch.setattr("sys.stdin", io.StringIO(stdin))
        code = run(words)
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def ok(self, *words: str, stdin: str = "") -> Any:
        """The JSON that a command prints with --json; it must succeed."""
        done = self(*words, "--json", stdin=stdin)
        assert (0, "") == (done.code, done.err)
        return done.json


@pytest.fixture
def cli(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    for name in ("OPENAI_API_KEY", "BATON_UPSTREAM_KEY", "BATON_BOOTSTRAP_KEY", "BATON_HOST"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path / "home", monkeypatch, capsys)
