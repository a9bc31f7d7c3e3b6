"""A supervisor whose children are small shell scripts: `python -m tests.supervised '{…}'`.

Fields: home, worker (a script in place of the worker), engine (likewise; none without), stall_s.
Scripts run with $LOG naming a file to write to; they say `ready` on standard output. It prints
`announced` when all are ready.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from baton.config import Settings
from baton.listening import bind_all
from baton.supervisor import Supervisor
from tests.running import session_members

TIMEOUT_S = 10.0
POLL_S = 0.01
LOG = "log"
SERVE = """trap 'trap "" TERM USR1; echo {name} ended >> $LOG; exit 0' TERM USR1
echo {name} began >> $LOG; echo ready; while :; do sleep 0.02; done"""
STUBBORN = "trap '' TERM; echo stubborn >> $LOG; echo ready; while :; do sleep 0.02; done"


@dataclasses.dataclass(frozen=True)
class Supervised:
    """A running supervisor and the file that its children write to."""

    process: subprocess.Popen[str]
    folder: pathlib.Path

    def told(self) -> list[str]:
        """The lines of its children."""
        path = self.folder / LOG
        return path.read_text().splitlines() if path.exists() else []

    def errors(self) -> str:
        """What it says to the operator."""
        return (self.folder / "stderr").read_text()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, (self.told(), self.errors())
            time.sleep(POLL_S)

    def wait_told(self, *lines: str) -> None:
        """Until its children have written these lines."""
        self.wait_for(lambda: set(lines) <= set(self.told()))

    def wait_began(self, count: int) -> None:
        """Until so many have begun."""
        self.wait_for(lambda: self.told().count("began") == count)

    def announced(self) -> bool:
        """Waits for the banner."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        assert readable, (self.told(), self.errors())
        return self.process.stdout.readline() == "announced\n"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """SIGTERM; its exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


def serve(name: str) -> str:
    """A script that tells when it begins and, told to stop or that it is replaced, ends."""
    return SERVE.replace("{name}", name)


@contextlib.contextmanager
def supervised(
    folder: pathlib.Path, worker: str, engine: str | None = None, stall_s: float = 60.0
) -> Iterator[Supervised]:
    """Run it while the block runs."""
    fields = {"home": str(folder), "worker": worker, "engine": engine, "stall_s": stall_s}
    given = json.dumps(fields)
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", given],
            env={**os.environ, "LOG": str(folder / LOG)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield Supervised(process, folder)
        finally:
            for pid in [process.pid, *session_members(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def main() -> int:
    given = json.loads(sys.argv[1])
    stall_s = given["stall_s"]
    settings = Settings(
        home=given["home"], port=0, drain_timeout_s=20.0, engine_stall_timeout_s=stall_s
    )
    engine = given["engine"] and ["sh", "-c", given["engine"], "engine"]
    supervisor = Supervisor(settings, bind_all(settings))
    supervisor.children[0].start = lambda: script(given["worker"])
    return supervisor.run(settings, engine, lambda: print("announced", flush=True))


def script(text: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", text], stdout=subprocess.PIPE, process_group=0)


if __name__ == "__main__":
    sys.exit(main())
