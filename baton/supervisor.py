"""`baton serve`: one small parent that owns the listening sockets, the engine and the workers.

Theory of operation. The parent has the sockets and hands their descriptors to every worker, so
that no connection is lost while workers come and go. It starts the engine and N workers, restarts
what dies (with growing pauses when it dies young), swaps the workers on SIGHUP (new ones first,
with the settings as they are then; old ones end with their streams), and on SIGTERM drains and ends
all: workers first, then the engine that their streams need. It serves no request and runs no event
loop: a signal wakes a select, and one pass looks at what changed.

An engine says each second that it computes (`engine/pulse.py`). One that was ready and then says
nothing for `engine_stall_timeout_s` hangs: it is killed, and started again like one that died.

Children hold the read end of a pipe whose write end only the parent has: when the parent dies,
however it dies, they see its end and stop. Each is a process group of its own, so that Ctrl-C in a
terminal reaches the parent alone. As process 1 of a container it also reaps orphans.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from baton import files, staged
from baton.config import Settings

RESTART_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
YOUNG_S = 10.0
"""A process that lived for less counts as failing at start."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
Reread = Callable[[Settings], Settings | None]
"""What a reload makes of the settings that run; None, and nothing happens: it said why."""


def as_they_are(settings: Settings) -> Settings | None:
    """Nothing is read anew."""
    return settings


@dataclass(slots=True)
class Child:
    """One process that shall run: how to start it, and how it fares."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0
    start_at: float = 0.0
    """Monotonic time of the next start, when it is not running."""
    ready: bool = False
    unusable: bool = False
    ready_fd: int = -1
    heard_at: float = 0.0
    """When it last said something."""
    waiting_to_replace: list[subprocess.Popen[bytes]] = field(default_factory=list)


class Supervisor:
    """Runs until told to stop; `run` returns the exit status."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        first: staged.Staged | None = None,
    ) -> None:
        """`first`: a worker that has been started already."""
        self.settings = self._given = settings
        self.listeners = listeners
        self._announce: Callable[[], None] | None = None
        self._reread: Reread = as_they_are
        self._watch_read, self._watch_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._stopping_since: float | None = None
        self._exit_status = 0
        self._retired: list[subprocess.Popen[bytes]] = []
        self.children = [
            Child(f"worker {index}", lambda index=index: self._worker(index))  # type: ignore[misc]
            for index in range(settings.workers)
        ]
        self._ahead = {} if first is None else {0: first}

    # Starting

    def start_ahead(self) -> None:
        """Start the other workers now, so that they load while all else is made ready; `run` tells
        them what they need, `abandon` ends them."""
        for index in range(self.settings.workers):
            if index not in self._ahead:
                self._ahead[index] = staged.start(index)

    def abandon(self) -> None:
        """It will not run."""
        for worker in self._ahead.values():
            worker.drop()
        self._ahead.clear()

    def _engine(self, command: list[str]) -> subprocess.Popen[bytes]:
        words = [*command, "--watch-fd", str(self._watch_read)]
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(self._watch_read,),
            process_group=0,
        )

    def _worker(self, index: int) -> subprocess.Popen[bytes]:
        worker = self._ahead.pop(index, None) or staged.start(index)
        told = msgspec.json.encode(self.settings)
        worker.tell(told, self._watch_read, [each.fileno() for each in self.listeners])
        child = self.children[index]
        if child.ready_fd >= 0:  # the one before it never got ready
            os.close(child.ready_fd)
        child.ready_fd = worker.ready_fd
        return worker.process

    def _start(self, child: Child, now: float) -> None:
        child.started_at, child.ready = now, False
        try:
            child.process = child.start()
        except OSError as error:  # no memory, no process, no file left: the others go on
            child.process = None
            return self._again(child, f"cannot be started: {error}")
        if child.process.stdout is not None:
            child.ready_fd = child.process.stdout.fileno()

    # The loop

    def run(
        self,
        settings: Settings,
        engine_command: list[str] | None,
        announce: Callable[[], None],
        reread: Reread = as_they_are,
    ) -> int:
        """Run what these settings say; `announce` is called once, when all are ready."""
        self.settings = self._given = settings
        self._announce, self._reread = announce, reread
        files.enough_for(settings.connections_max)  # the engine has this limit, too
        if engine_command is not None:
            self.children.append(Child("engine", lambda: self._engine(engine_command)))
        with self._signals():
            while not self._ended():
                now = time.monotonic()
                self._start_due(now)
                self._end_engine()
                self._kill_overdue(now)
                readable = self._wait(now)
                self._note_ready(readable)
                self._kill_hung(time.monotonic())
                if self._wake_read in readable:
                    for number in os.read(self._wake_read, 4096):
                        self._signal(number)
                self._reap()
                self._announce_once()
        os.close(self._watch_write)
        return self._exit_status

    def _wait(self, now: float) -> list[int]:
        waits = [self._wake_read]
        waits += [child.ready_fd for child in self.children if child.ready_fd >= 0]
        due = [
            child.start_at - now
            for child in self.children
            if child.process is None and not child.unusable
        ]
        due += [self._hung_at(child) - now for child in self.children]
        pause = 0.2 if self._stopping_since else max(0.0, min([*due, 5.0]))
        readable, _, _ = select.select(waits, [], [], pause)
        return readable

    def _ended(self) -> bool:
        alive = any(child.process for child in self.children) or self._retired
        return self._stopping_since is not None and not alive

    def _start_due(self, now: float) -> None:
        if self._stopping_since is not None:
            return
        for child in self.children:
            if child.process is None and not child.unusable and now >= child.start_at:
                self._start(child, now)

    def _kill_overdue(self, now: float) -> None:
        """After the drain time what still runs is killed."""
        limit = self.settings.drain_timeout_s + 5
        if self._stopping_since is None or now - self._stopping_since < limit:
            return
        for process in self._processes():
            process.kill()

    def _hung_at(self, child: Child) -> float:
        """When it counts as hung, if it says nothing until then: an engine that was ready."""
        tells = child.process is not None and child.process.stdout is not None
        if not (tells and child.ready):
            return float("inf")
        return child.heard_at + self.settings.engine_stall_timeout_s

    def _kill_hung(self, now: float) -> None:
        for child in self.children:
            if child.process is not None and now >= self._hung_at(child):
                say(f"{child.name} says nothing any more: it is killed")
                child.process.kill()
                child.ready = False

    def _note_ready(self, readable: list[int]) -> None:
        for child in self.children:
            if child.ready_fd < 0 or child.ready_fd not in readable:
                continue
            said = os.read(child.ready_fd, 4096)
            child.heard_at = time.monotonic()
            if b"ready" in said:
                child.ready = True
                self._retire_replaced(child)
            if not said or child.process is None or child.process.stdout is None:
                _forget_ready_fd(child)

    def _retire_replaced(self, child: Child) -> None:
        """Its predecessors drain, for as long as their streams take."""
        for process in child.waiting_to_replace:
            self._retire(process)
        child.waiting_to_replace.clear()

    def _retire(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGUSR1)
        self._retired.append(process)

    def _announce_once(self) -> None:
        if self._announce is not None and all(c.ready or c.unusable for c in self.children):
            self._announce()
            self._announce = None

    def _reap(self) -> None:
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._died(child, child.process.returncode)
        self._retired = [process for process in self._retired if process.poll() is None]
        if os.getpid() == 1:
            reap_orphans({process.pid for process in self._processes()})

    def _died(self, child: Child, status: int) -> None:
        _forget_ready_fd(child)  # else its number, closed with the process, would be waited on
        child.process, child.ready = None, False
        if self._stopping_since is not None:
            return
        if child.name == "engine" and status == staged.UNUSABLE_EXIT:
            child.unusable = True
            say("the embedded model is off; upstreams are served (baton doctor tells more)")
            self.settings = msgspec.structs.replace(self._given, model="none")
            return self._swap_workers()
        if child.name == "engine":
            with contextlib.suppress(OSError):  # workers only wait for it in vain
                self.settings.engine_died.touch()
        if self._announce is not None and status == staged.UNUSABLE_EXIT:
            self._exit_status = 1  # at its start; later what served before goes on meanwhile
            return self._stop()
        self._again(child, f"ended with status {status}")

    def _again(self, child: Child, why: str) -> None:
        """It starts again after a pause, which grows when it dies young."""
        now = time.monotonic()
        young = now - child.started_at < YOUNG_S
        child.deaths = child.deaths + 1 if young else 0
        pause = RESTART_PAUSES_S[min(child.deaths, len(RESTART_PAUSES_S) - 1)]
        child.start_at = now + pause
        say(f"{child.name} {why}; it starts again in {pause:g} s")

    # Signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        old = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old)
            for number, action in before.items():
                signal.signal(number, action)

    def _signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP and self._stopping_since is None:
            self._reload()

    def _reload(self) -> None:
        """New workers with the settings as they are now, and what was given up is tried again."""
        settings = self._reread(self._given)
        if settings is None:
            return
        self.settings = self._given = settings
        files.enough_for(settings.connections_max)
        for child in self.children:
            child.unusable = False
        self._swap_workers()

    def _stop(self) -> None:
        """Tell the workers to drain; asked twice, end everything now. They close the sockets, and
        we do: who comes now is refused, and goes elsewhere, and does not wait where nobody
        serves."""
        if self._stopping_since is not None:
            for process in self._processes():
                process.kill()
            return
        self._stopping_since = time.monotonic()
        for listener in self.listeners:
            listener.close()
        for child in self.children:
            self._retire_replaced(child)
            if child.process is not None and child.process is not self._engine_process():
                child.process.terminate()
        for process in self._retired:
            process.terminate()

    def _end_engine(self) -> None:
        """On stop: once no worker is left that could need it."""
        engine = self._engine_process()
        if self._stopping_since is not None and engine and self._processes() == [engine]:
            engine.terminate()

    def _engine_process(self) -> subprocess.Popen[bytes] | None:
        return self.children[-1].process if self.children[-1].name == "engine" else None

    def _swap_workers(self) -> None:
        """New workers on the same sockets; each old one drains once its successor is ready. A
        successor that is not ready yet gives way at once; the one that serves stays."""
        for child in self.children:
            if child.name.startswith("worker") and child.process is not None:
                if child.ready:
                    child.waiting_to_replace.append(child.process)
                else:
                    self._retire(child.process)
                _forget_ready_fd(child)
                self._start(child, time.monotonic())

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        running = [child.process for child in self.children if child.process is not None]
        waiting = [process for child in self.children for process in child.waiting_to_replace]
        return [*running, *waiting, *self._retired]


def reap_orphans(ours: Container[int]) -> None:
    """Take leave of ended processes that were handed to us (as process 1 is), but not of `ours`:
    their status is asked for elsewhere."""
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in ours:
                return  # asked for in the next pass; others wait behind it until then
            os.waitpid(found.si_pid, 0)


def _forget_ready_fd(child: Child) -> None:
    """Nothing more is to be read from it. An engine's belongs to its process object."""
    if child.ready_fd >= 0 and (child.process is None or child.process.stdout is None):
        os.close(child.ready_fd)
    child.ready_fd = -1


def say(text: str) -> None:
    """One line to the operator. Nobody reads it any more, or its disk is full: no reason to end."""
    with contextlib.suppress(OSError):
        print(f"baton: {text}", file=sys.stderr, flush=True)
