"""The engine ends, or never starts: a clear 503 with a wait, and the relay serves its upstreams."""

import os
import pathlib
import signal
import time
from collections.abc import Callable

import pytest

from tests import running
from tests.asking import Answer
from tests.faults.conftest import FAKE_MODEL, add_upstream

WITHIN_S = 30.0


def until_status(server: running.Server, status: int, model: str) -> Answer:
    deadline = time.monotonic() + WITHIN_S
    request = {"model": model, "prompt": "a b", "max_tokens": 2}
    while (answer := server.endpoint.post("/v1/completions", request)).status != status:
        assert time.monotonic() < deadline, f"{answer.status} {answer.text}"
        time.sleep(running.POLL_S)
    return answer


def test_engine_crash(home: pathlib.Path) -> None:
    """503 with retry-after while it restarts, then answers again without anybody's help."""
    with running.serving(home) as server:
        until_status(server, 200, server.model)
        engine = [pid for pid, words in server.processes().items() if "baton.engine" in words]
        os.kill(engine[0], signal.SIGKILL)
        refused = until_status(server, 503, server.model)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.error["type"] == "server_error"
        until_status(server, 200, server.model)


def _missing(folder: pathlib.Path) -> pathlib.Path:
    return folder / "nowhere.gguf"


def _not_gguf(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "text.gguf"
    path.write_text("this is no model")
    return path


def _cut_short(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(100))
    return path


@pytest.mark.parametrize("make", [_missing, _not_gguf, _cut_short])
def test_unusable_model(
    tmp_path: pathlib.Path, fake_url: str, make: Callable[[pathlib.Path], pathlib.Path]
) -> None:
    """The log names the file and what to do; upstreams are relayed to all the same."""
    path = make(tmp_path)
    server = running.start(tmp_path / "home", {"BATON_MODEL": str(path)})
    try:
        server.wait_for("/healthz")
        add_upstream(server, fake_url)
        server.wait_for("/readyz")
        until_status(server, 200, FAKE_MODEL)
        refused = server.endpoint.post("/v1/completions", {"model": path.stem, "prompt": "a"})
        assert refused.status in (404, 503)
        assert path.name in server.printed()
        server.stop()
    finally:
        server.kill()
