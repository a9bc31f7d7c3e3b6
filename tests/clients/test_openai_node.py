"""The official openai package for Node against a real server."""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.running import Server
from tests.toolboxes import toolbox

HERE = pathlib.Path(__file__).parent / "node"
LOCK = HERE / "package-lock.json"
PARTS = ["create", "stream", "arraysEchoAndLogprobs", "errors", "rateLimitAndRetry"]
INSTALL_TIMEOUT_S, RUN_TIMEOUT_S = 300, 120


def install(folder: pathlib.Path) -> None:
    """Install exactly what package-lock.json names; no script of any package runs."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(words, cwd=folder, check=True, timeout=INSTALL_TIMEOUT_S)


@pytest.fixture(scope="session")
def node_modules() -> pathlib.Path:
    """The installed package; fails with what to do where Node is missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail("Node 20 or newer is needed for this test: apt-get install nodejs npm")
    return toolbox("openai-node", LOCK, install) / "node_modules"


def test_client(server: Server, limited_key: str, node_modules: pathlib.Path) -> None:
    """Create, stream, arrays, echo, logprobs, errors, rate limit and retry all hold."""
    done = subprocess.run(
        ["node", HERE / "client.cjs", server.base_url, server.model, server.key, limited_key],
        env={**os.environ, "NODE_PATH": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"after {done.stdout.split()}: {done.stderr}"
    assert done.stdout.split() == PARTS
