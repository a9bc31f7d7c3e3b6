"""A worker's process in two steps: started, and told.

Its modules take longer to load than anything else at a start. So it is started first, and told its
settings, upon which it serves, once the rest is made ready: the data folder, keys, the model. It
reads them from standard input, so that secrets are in no argument list; where that ends without
any, because its supervisor gave up or is gone, it ends.
"""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass

import msgspec

from baton.config import Settings


@dataclass(frozen=True, slots=True)
class Staged:
    """A worker that loads its modules and waits."""

    process: subprocess.Popen[bytes]
    ready_fd: int
    """It says `ready` here; the caller's to close."""

    def tell(self, settings: Settings) -> None:
        """Now it serves. One that is gone already is noticed by its exit status."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(msgspec.json.encode(settings))
            self.process.stdin.close()

    def drop(self) -> None:
        """It is not needed: nothing has begun in it."""
        assert self.process.stdin is not None
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()
        os.close(self.ready_fd)


def start(index: int, listen_fd: int, watch_fd: int) -> Staged:
    """Start one; it watches `watch_fd`, whose other end its supervisor alone holds."""
    ready_read, ready_write = os.pipe()
    fds = (listen_fd, watch_fd, ready_write)
    process = subprocess.Popen(
        [sys.executable, "-m", "baton.worker", str(index), ",".join(map(str, fds))],
        stdin=subprocess.PIPE,
        pass_fds=fds,
        process_group=0,
    )
    os.close(ready_write)
    return Staged(process, ready_read)
