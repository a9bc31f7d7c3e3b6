"""A real `baton serve` for tests and benchmarks: its own process, data folder and free port.

    with serving(home, {"BATON_MODEL": "none"}) as server:
        server.endpoint.complete(prompt="Hello")

The process gets none of the caller's BATON_* settings but the model cache. It leads its own
session, so that what it started is known and nothing outlives the test, whatever was done to it.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

from tests.asking import Endpoint

DEFAULT_MODEL = "smollm2-135m-instruct"
KEY = "sk-test-ordinary-key-0000000001"
ADMIN_KEY = "sk-test-admin-key-000000000001"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
LOG_TAIL_CHARACTERS = 4000


class ServerFailed(Exception):
    """The server ended or never became ready; the message ends with what it printed."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running `baton serve`."""

    base_url: str
    key: str
    admin_key: str
    home: pathlib.Path
    model: str
    process: subprocess.Popen[bytes]
    log: pathlib.Path
    environment: Mapping[str, str]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.base_url, self.key, self.model)

    @property
    def admin(self) -> Endpoint:
        return Endpoint(self.base_url, self.admin_key, self.model)

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def cli(self, *words: str) -> str:
        """Run `baton WORDS` on this server's data folder; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "baton", *words],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"baton {' '.join(words)}: {done.returncode}\n{done.stderr}")
        return done.stdout

    def wait_ready(self) -> None:
        """Return once it can answer completions."""
        self.wait_for("/readyz")

    def wait_for(self, path: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once GET `path` is 200; ServerFailed when it ends or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not is_ready(self.base_url, path):
            if self.process.poll() is not None:
                raise ServerFailed(f"it ended with {self.process.returncode}: {self._tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{path}: no 200 in {timeout_s:g} s: {self._tail()}")
            time.sleep(POLL_S)

    def stop(self) -> int:
        """Ask it to end as an operator would (SIGTERM); the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"still there {STOP_TIMEOUT_S:g} s after SIGTERM: {self._tail()}"
            raise ServerFailed(message) from None

    def processes(self) -> dict[int, str]:
        """The living processes of this server, with their command lines."""
        return {pid: command_line(pid) for pid in session_members(self.process.pid)}

    def kill(self) -> None:
        """End the server and all that it started, at once."""
        for pid in [self.process.pid, *session_members(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _tail(self) -> str:
        return self.printed()[-LOG_TAIL_CHARACTERS:]


def session_members(session: int) -> list[int]:
    """Living processes of a session, by id (from /proc: Linux)."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def command_line(pid: int) -> str:
    """The words that a process was started with; "" where it is gone."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return words.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def is_ready(base_url: str, path: str = "/readyz") -> bool:
    try:
        with urllib.request.urlopen(base_url + path, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return False
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment_for(home: pathlib.Path, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """What the server's process sees: no BATON_* setting of ours but those given and the cache."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BATON_") or name == "BATON_MODEL_CACHE"
    }
    own = {
        "BATON_HOME": str(home),
        "BATON_PORT": str(port),
        "BATON_BOOTSTRAP_KEY": KEY,
        "BATON_ADMIN_KEY": ADMIN_KEY,
    }
    return {**kept, **own, **settings}


def start(
    home: pathlib.Path,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    port: int | None = None,
) -> Server:
    """Start `baton serve` and return at once; `prefix` are words before the command (taskset …)."""
    settings = settings or {}
    port = port or free_port()
    home.mkdir(parents=True, exist_ok=True)
    environment = environment_for(home, port, settings)
    log = home.parent / f"{home.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "baton", "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Server(
        base_url=f"http://127.0.0.1:{port}",
        key=environment["BATON_BOOTSTRAP_KEY"],
        admin_key=environment["BATON_ADMIN_KEY"],
        home=home,
        model=environment.get("BATON_MODEL", DEFAULT_MODEL),
        process=process,
        log=log,
        environment=environment,
    )


@contextlib.contextmanager
def serving(
    home: pathlib.Path,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Server]:
    """A server that is ready; ended, with all it started, when the block ends."""
    server = start(home, settings, prefix)
    try:
        server.wait_ready()
        yield server
        server.stop()
    finally:
        server.kill()
