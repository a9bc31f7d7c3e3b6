"""The engine without its process: model, context, scheduler's thread, and calls that wait."""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np

from baton.engine.choice import Vocabulary
from baton.engine.llama import Context, Floats, Model
from baton.engine.prompts import prepare
from baton.engine.runs import Run, Shape
from baton.engine.scheduler import Bounds, Scheduler
from baton.engine.sequences import Post
from baton.engine.wire import Deltas, Finished, Generate, Refused
from baton.semantics.events import Call, Delta, Logprobs

DEADLINE_S = 60.0


def call(
    *prompts: str | list[int], max_tokens: int = 8, temperature: float = 0, **rest: object
) -> Call:
    """A greedy call of a few tokens, unless said otherwise."""
    return Call(
        model="m",
        prompts=list(prompts),
        max_tokens=max_tokens,
        temperature=temperature,
        **rest,  # type: ignore[arg-type]
    )


@dataclasses.dataclass
class Pending:
    """A call under way."""

    run: Run
    messages: "queue.SimpleQueue[Deltas | Finished | Refused]"
    deltas: list[Delta] = dataclasses.field(default_factory=list)
    end: Finished | Refused | None = None

    def step(self) -> list[Delta]:
        """Wait for the next message; its deltas, none at the end."""
        message = self.messages.get(timeout=DEADLINE_S)
        if isinstance(message, Deltas):
            self.deltas += message.deltas
            return message.deltas
        self.end = message
        return []

    def wait(self) -> Self:
        while self.end is None:
            self.step()
        return self

    @property
    def finished(self) -> Finished:
        assert isinstance(self.end, Finished), self.end
        return self.end

    def text(self, index: int = 0) -> str:
        return "".join(delta.text for delta in self.of(index))

    def ids(self, index: int = 0) -> list[int]:
        return [token for delta in self.of(index) for token in delta.token_ids or ()]

    def finish(self, index: int = 0) -> str | None:
        """The finish_reason, which must come once, with the last delta."""
        deltas = self.of(index)
        assert all(delta.finish_reason is None for delta in deltas[:-1])
        return deltas[-1].finish_reason

    def logprobs(self, index: int = 0) -> Logprobs:
        whole = Logprobs([], [], [], [])
        for delta in self.of(index):
            if delta.logprobs is not None:
                whole.tokens += delta.logprobs.tokens
                whole.token_logprobs += delta.logprobs.token_logprobs
                whole.top_logprobs += delta.logprobs.top_logprobs
                whole.text_offset += delta.logprobs.text_offset
        return whole

    def of(self, index: int) -> list[Delta]:
        return [delta for delta in self.deltas if delta.index == index]

    def texts(self) -> list[str]:
        return [self.text(index) for index in sorted({delta.index for delta in self.deltas})]


class Rig:
    """Use it as a context manager. `wrap` may put something around the context."""

    def __init__(
        self,
        model: Model,
        sequences: int = 8,
        tokens: int = 512,
        bounds: Bounds | None = None,
        wrap: Callable[[Context], Context] = lambda context: context,
    ) -> None:
        self.model = model
        self.context = wrap(Context(model, sequences, tokens, threads=1))
        ends = model.fim.ends if model.fim is not None else model.ends
        words = Vocabulary(model.piece, model.ends)
        self.shape = Shape(words, ends, model.cuttable, deterministic=False)
        self._pending: dict[Run, Pending] = {}
        bounds = bounds or Bounds(queue_max=64, prefill_budget_s=0.1)
        self.scheduler = Scheduler(model, self.context, bounds, self._deliver)
        self._thread = threading.Thread(target=self.scheduler.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.scheduler.stop()
        self._thread.join(DEADLINE_S)
        self.context.close()

    def _deliver(self, post: Post) -> None:
        for run, message in post:
            self._pending[run].messages.put(message)

    def start(self, call: Call, **replay: object) -> Pending:
        """Submit a call; a refusal is its end at once."""
        request = Generate(call, **replay)  # type: ignore[arg-type]
        prompts = prepare(call, self.model, self.context.sequence_tokens_max)
        run = Run(request, prompts, self.shape, call.seed or 0, time.monotonic())
        pending = self._pending[run] = Pending(run, queue.SimpleQueue())
        pending.end = self.scheduler.submit(run)
        return pending

    def complete(self, call: Call, **replay: object) -> Pending:
        return self.start(call, **replay).wait()


def logits(context: Context, ids: list[int], chunk: int = 63) -> Floats:
    """Logits of every token of a prompt, computed plainly on sequence 0."""
    context.cut(0, 0)
    rows = []
    for start in range(0, len(ids), chunk):
        part = ids[start : start + chunk]
        count = len(part)
        context.tokens[:count] = part
        context.positions[:count] = np.arange(start, start + count)
        context.sequences[:count], context.outputs[:count] = 0, 1
        context.decode(count)
        rows.append(context.logits(count).copy())
    return np.concatenate(rows)


def greedy(context: Context, ids: list[int], count: int) -> list[int]:
    """The greedy continuation by plain decoding, token by token."""
    found = [int(logits(context, ids)[-1].argmax())]
    while len(found) < count:
        context.tokens[0], context.positions[0] = found[-1], len(ids) + len(found) - 1
        context.sequences[0], context.outputs[0] = 0, 1
        context.decode(1)
        found.append(int(context.logits(1)[0].argmax()))
    return found


def wait_until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; fail when it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.002)
