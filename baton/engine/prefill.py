"""A thread that computes long prompts beside streams, in a context of its own.

Theory of operation. A step cannot be left in its middle and taken up again. So in one thread every
stream waits for the end of a prompt's chunk, and chunks that may be waited for are dear: below
TILE_TOKENS llama.cpp attends by a kernel that takes twice as long (docs/decisions/0040). The
operating system, however, divides cores between threads by the millisecond. Therefore a prompt that
would take many rounds is computed here, in large chunks and beside the streams, and then its memory
is carried to the sequence that it belongs to. That takes some hundredths of a second and keeps
every bit. Where two cores are free both go on at full speed, where one is they share it.

Jobs pass from the scheduler's thread and back, one at a time. Between `start` and `taken` a job
belongs to this thread, but for `dropped`, which the other one sets, and `over`, which this one
sets. The context comes with the first job, for it takes the memory of one more sequence. Whoever
cannot have it, or fails to compute, gives the job back without a state: the scheduler computes it
as if this thread did not exist, and asks it no more."""

import dataclasses
import os
import queue
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from baton.engine.batching import Sequence
from baton.engine.kv_state import Bytes
from baton.engine.llama import Context, DecodeError, Floats
from baton.engine.model_file import LoadError
from baton.engine.pace import TILE_TOKENS

CHUNK_TOKENS = 2 * TILE_TOKENS
"""More gain nothing; a cancelled call is not waited for either way, for steps are broken off."""

NICENESS = 5
"""It gives way to streams and the relay where cores are scarce: of one core that it shares with
streams it gets a quarter."""


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """A prompt on its way."""

    sequence: Sequence
    held: Bytes | None
    """What the sequence holds already: its first `position` tokens."""
    position: int
    chunks: list[int] = dataclasses.field(default_factory=list)
    """In which sizes it was computed, and what each took."""
    chunks_s: list[float] = dataclasses.field(default_factory=list)
    state: Bytes | None = None
    """What the sequence shall hold; None: it was dropped, or could not be computed."""
    row: Floats | None = None
    """Logits of the prompt's last token."""
    dropped: bool = False
    over: bool = False


def chunks(tokens: int) -> list[int]:
    """A prompt's split: none below the tiled kernel's size unless it is shorter itself."""
    whole, rest = divmod(tokens, CHUNK_TOKENS)
    if rest >= TILE_TOKENS or not whole:
        return [CHUNK_TOKENS] * whole + [rest] * bool(rest)
    return [CHUNK_TOKENS] * (whole - 1) + [CHUNK_TOKENS + rest]


class Prefill:
    """The thread, which starts with the first job."""

    def __init__(self, make: Callable[[], Context], on_step: Callable[[], None]) -> None:
        """`on_step` is called from the thread after each chunk, and when a job is over."""
        self._make, self._on_step = make, on_step
        self._context: Context | None = None
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._job: Job | None = None
        self.usable = True
        """False once it failed."""

    # From the scheduler's thread

    @property
    def free(self) -> bool:
        return self.usable and self._job is None

    @property
    def busy(self) -> bool:
        """Whether a job is being computed."""
        return self._job is not None and not self._job.over

    @property
    def sequence(self) -> Sequence | None:
        """Whose prompt it has."""
        return self._job.sequence if self._job is not None else None

    def start(self, job: Job) -> None:
        assert self._job is None
        self._job = job
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prefill", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def drop(self) -> None:
        """The job is not wanted any more: break off its step. It is over soon."""
        if self._job is not None:
            self._job.dropped = True
            if self._context is not None:
                self._context.abort()

    def taken(self) -> Job | None:
        """The job that is over, once."""
        job = self._job
        if job is None or not job.over:
            return None
        self._job = None
        self.usable = self.usable and (job.state is not None or job.dropped)
        return job

    def close(self) -> None:
        """End the thread and give its memory back."""
        self.drop()
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()
        if self._context is not None:
            self._context.close()

    # The thread

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere it is the whole process that would give way
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while (job := self._jobs.get()) is not None:
            try:
                self._compute(job)
            except (LoadError, DecodeError):
                job.state = None
            finally:
                job.over = True
                self._on_step()

    def _compute(self, job: Job) -> None:
        if self._context is None:
            self._context = self._make()
        context, prompt = self._context, job.sequence.prompt
        context.abort(False)  # before `dropped` is looked at, as that is set before it aborts
        context.cut(0, 0)
        if job.held is not None and not context.adopt(0, job.held):
            return
        at = job.position
        for count in chunks(len(prompt) - at):
            if job.dropped:
                return
            self._fill(context, prompt[at : at + count], at)
            context.outputs[count - 1] = at + count == len(prompt)
            began = time.perf_counter()
            context.decode(count)
            at += count
            job.chunks.append(count)
            job.chunks_s.append(time.perf_counter() - began)
            self._on_step()
        job.row = context.logits(1)[0].copy()
        job.state = context.export(0)

    @staticmethod
    def _fill(context: Context, tokens: list[int], at: int) -> None:
        count = len(tokens)
        context.tokens[:count] = tokens
        context.positions[:count] = np.arange(at, at + count)
        context.sequences[:count], context.outputs[:count] = 0, 0
