"""A server of its own for the examples (they change it), and a fake for each server in them."""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import running
from tests.clients.test_openai_node import node_modules
from tests.fakes.dialects import FAKES

__all__ = ["node_modules"]

ROOT = pathlib.Path(__file__).parents[2]
FORKED = pathlib.Path(__file__).with_name("forked.py")

ADDRESSES = {
    "vllm": "http://127.0.0.1:8000",
    "sglang": "http://127.0.0.1:30000",
    "llama-server": "http://127.0.0.1:8081",
    "openai": "http://127.0.0.1:8082",
    "ollama": "http://127.0.0.1:11434",
}
"""Where the pages say that these servers are."""
OWN = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """What an example runs against."""

    server: running.Server
    addresses: Mapping[str, str]
    """What stands in the pages, and what stands for it here."""
    commands: pathlib.Path
    """A folder with the command `baton`."""

    def placed(self, code: str) -> str:
        """The example with the addresses of this run."""
        for theirs, ours in self.addresses.items():
            code = re.sub(rf"{re.escape(theirs)}\b", ours, code)
        return code

    @property
    def environment(self) -> dict[str, str]:
        """As the pages tell the reader to set it up."""
        path = f"{self.commands}{os.pathsep}{os.environ['PATH']}"
        keys = {"BATON_KEY": self.server.key, "BATON_ADMIN_KEY": self.server.admin_key}
        return {**self.server.environment, **keys, "PATH": path}


@pytest.fixture(scope="session")
def stage(default_model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("docs")
    with (
        fakes() as found,
        command(folder) as commands,
        running.serving(folder / "home") as server,
    ):
        yield Stage(server, {OWN: server.base_url, **found}, commands)


@contextlib.contextmanager
def command(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder with `baton` in it, made fast (`forked.py`)."""
    commands, place = folder / "bin", f"{folder}/cli"
    commands.mkdir()
    script = f'#!/bin/sh\nexec "{sys.executable}" -IS "{FORKED}" call "{place}" "$@"\n'
    (commands / "baton").write_text(script, encoding="utf-8")
    (commands / "baton").chmod(0o755)
    words = [sys.executable, str(FORKED), "serve", place]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not pathlib.Path(place).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(running.POLL_S)
        yield commands
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def fakes() -> Iterator[dict[str, str]]:
    """The fakes on a loop in a thread; their addresses by those in the pages."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    found: dict[str, str] = {}

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for dialect, address in ADDRESSES.items():
                fake = await stack.enter_async_context(FAKES[dialect]())
                found[address] = fake.url.removesuffix("/v1")
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(TIMEOUT_S)
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(TIMEOUT_S)
        loop.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate that the configurations can load."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "baton.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "certificate.pem").write_bytes(made)
    (folder / "key.pem").write_bytes(secret)
    (folder / "combined.pem").write_bytes(made + secret)
    return folder
