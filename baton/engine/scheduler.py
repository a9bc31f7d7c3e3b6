"""The engine's thread: takes calls in, runs rounds of llama_decode, gives events out.

Theory of operation. Policy is elsewhere and pure: who gets a sequence (policy.py), what a round
computes (batching.py), what a new prompt may reuse (prefix_cache.py), what a choice says
(choice.py). Here is the thread that moves calls along, and the only user of the `Context`.

One lock guards all of its state. It is never held during a decode, so that `submit`, `cancel` and
`pause` from the server's thread wait for a few milliseconds of sampling at most. They only leave
marks: the thread takes sequences away from cancelled calls before each step and never starts
another one for them. A step of cancelled calls alone is broken off in the middle (`Context.abort`).

A decode that fails is repeated sequence by sequence, and ends only the calls that fail alone.
"""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from baton.engine import batching
from baton.engine.batching import Limits, Sequence, Step
from baton.engine.choice import score
from baton.engine.llama import Context, DecodeError, Floats, Model
from baton.engine.memory import Memory
from baton.engine.policy import Roster
from baton.engine.runs import PromptGroup, Run
from baton.engine.wire import Deltas, Finished, Refused
from baton.semantics.events import Delta

Message = Deltas | Finished | Refused
Post = list[tuple[Run, Message]]
ABORTED = 2
"""What llama_decode answers when it was told to stop."""
PACE_SHARE = 0.2
"""Weight of the newest measurement in the running mean of seconds per token."""
RATE_WINDOW = 32
"""Finished choices from which the rate of service is estimated."""
WARM_UP_TOKENS = 16
RETRY_AFTER_S_MAX = 60.0


@dataclasses.dataclass(slots=True)
class Counters:
    """What the engine did since it started."""

    steps: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


class Outbox:
    """What a step has to tell, gathered by call: one message of deltas each, then the end."""

    def __init__(self) -> None:
        self._deltas: dict[Run, list[Delta]] = {}
        self._ends: Post = []

    def add(self, run: Run, delta: Delta) -> None:
        self._deltas.setdefault(run, []).append(delta)

    def end(self, run: Run, message: Finished | Refused) -> None:
        self._ends.append((run, message))

    def messages(self) -> Post:
        deltas: Post = [(run, Deltas(deltas)) for run, deltas in self._deltas.items()]
        return deltas + self._ends


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The settings that the scheduler keeps to."""

    queue_max: int
    prefill_budget_s: float


class Scheduler:
    """Runs calls on one context. `deliver` is called from its thread with what came out of a
    step."""

    def __init__(
        self, model: Model, context: Context, bounds: Bounds, deliver: Callable[[Post], None]
    ) -> None:
        self._model, self._context, self._bounds = model, context, bounds
        self._deliver = deliver
        self._limits = Limits(context.batch_tokens_max, context.chunk_tokens_max)
        self._roster = Roster(context.sequences_max, bounds.queue_max)
        self._memory = Memory(context, keeps=model.cuttable)
        self._starts: deque[tuple[PromptGroup, int, int]] = deque()
        self._sequences: dict[int, Sequence] = {}
        self._runs: set[Run] = set()
        self._immediate: deque[Run] = deque()
        """Calls that need no computation."""
        self._in_step: set[Run] = set()
        self._ends: deque[float] = deque(maxlen=RATE_WINDOW)
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._stopping = False
        self._orders = 0
        self._token_s = 0.0
        self.counters = Counters()

    # From the server's thread

    def submit(self, run: Run) -> Refused | None:
        """Queue a call; its messages follow. A Refused says that too many wait already."""
        with self._lock:
            if run.groups and not self._roster.admits(run.choices):
                wait_s = self._wait_s()
                return Refused(
                    429, "The model is busy. Please retry later.", "overloaded", None, wait_s
                )
            self._runs.add(run)
            if not run.groups:
                self._immediate.append(run)
            self._roster.push(run.groups)
            for prompt in run.prompts:
                self.counters.prompt_tokens += len(prompt.ids)
        self._wake.set()
        return None

    def cancel(self, run: Run, index: int | None = None) -> None:
        """No further step for the call, or for one choice of it."""
        with self._lock:
            if index is not None:
                self._drop(run, index)
            else:
                run.cancelled = True
                self._roster.withdraw(run)
                self._runs.discard(run)
            if self._in_step and all(other.cancelled for other in self._in_step):
                self._context.abort()
        self._wake.set()

    def _drop(self, run: Run, index: int) -> None:
        run.dropped.add(index)
        at, sample = divmod(index, run.call.n)
        for group in run.groups:
            if group.at == at and self._roster.drop(group, sample):
                run.end(index, None)

    def pause(self, run: Run, paused: bool) -> None:
        """Leave a call out of steps while its reader is slow, or take it up again."""
        with self._lock:
            for group in run.groups:
                group.paused = paused
        self._wake.set()

    @property
    def running(self) -> int:
        return len(self._sequences)

    @property
    def waiting(self) -> int:
        with self._lock:
            return self._roster.waiting

    def _wait_s(self) -> float:
        """When the queue will have room, by the rate at which choices ended lately."""
        if len(self._ends) < 2:
            return 1.0
        rate = len(self._ends) / max(time.monotonic() - self._ends[0], 0.001)
        return min(max(1.0, self._roster.waiting / rate), RETRY_AFTER_S_MAX)

    def stop(self) -> None:
        """End the loop soon, also in the middle of a decode."""
        self._stopping = True
        self._context.abort()
        self._wake.set()

    # The thread

    def run_forever(self) -> None:
        """Serve until `stop`. An exception that comes out of here is a bug: the process must
        end."""
        self._warm_up()
        while not self._stopping:
            self._wake.clear()
            if not self._round():
                self._wake.wait()

    def _warm_up(self) -> None:
        """Read the weights in, and measure how long a token takes."""
        context, count = self._context, min(WARM_UP_TOKENS, self._context.batch_tokens_max)
        for _ in range(2):
            context.tokens[:count] = self._model.start or 0
            context.positions[:count] = np.arange(count)
            context.sequences[:count], context.outputs[:count] = 0, 0
            context.outputs[count - 1] = 1
            began = time.perf_counter()
            context.decode(count)
            self._token_s = (time.perf_counter() - began) / count
            context.cut(0, 0)

    def _round(self) -> bool:
        """One round; False when there was nothing to do."""
        out = Outbox()
        with self._lock:
            self._reap(out)
            while self._immediate:
                self._answer(self._immediate.popleft(), out)
            self._admit(out)
            budget = max(
                batching.CHUNK_TOKENS_MIN, int(self._bounds.prefill_budget_s / self._token_s)
            )
            steps = batching.plan(self._sequences.values(), budget, self._limits)
        self._post(out)
        for step in steps:
            self._step(step)
        return bool(steps)

    def _answer(self, run: Run, out: Outbox) -> None:
        """A call that is done without a step."""
        for delta in run.immediate():
            out.add(run, delta)
        self._settle(run, out)

    def _post(self, out: Outbox) -> None:
        messages = out.messages()
        if messages:
            self._deliver(messages)

    # Sequences: from a group's prompt to its samples, and back to the roster

    def _admit(self, out: Outbox) -> None:
        """Give free ids to those whose turn it is."""
        while (grant := self._roster.grant()) is not None:
            group, sample, sequence = grant
            assert isinstance(group, PromptGroup)
            if group.computed:
                self._starts.append((group, sample, sequence))
            elif group.sequences:
                group.reserved.append((sample, sequence))
            else:
                self._begin(group, sample, sequence)
        self._start_samples(out)

    def _begin(self, group: PromptGroup, sample: int, sequence: int) -> None:
        """Compute a group's prompt on this id."""
        run = group.run
        if run.started_s is None:
            run.started_s = time.monotonic()
        splits = run.planned_splits(group.at)
        if run.alone or splits:
            self._memory.cut(sequence, 0)
            reused = 0
        else:
            reused = self._memory.begin(sequence, group.prompt.ids, self._roster.free)
        run.cached_tokens += reused
        self.counters.cached_tokens += reused
        group.entries = group.prompt.entries() if run.scored else []
        group.sequences.add(sequence)
        self._orders += 1
        self._sequences[sequence] = Sequence(
            id=sequence,
            group=group,
            sample=sample,
            order=self._orders,
            prompt=group.prompt.ids,
            alone=run.alone,
            outputs=run.scored,
            position=reused,
            splits=deque(splits),
        )

    def _prompt_done(self, sequence: Sequence, row: Floats, out: Outbox) -> None:
        group, run = sequence.group, sequence.group.run
        group.computed, group.first_row = True, row.copy()
        run.splits[group.at] = run.splits[group.at] or sequence.computed
        del self._sequences[sequence.id]
        if run.call.max_tokens:
            self._starts.append((group, sequence.sample, sequence.id))
            self._starts.extend((group, *pair) for pair in group.reserved)
            group.reserved.clear()
            return
        for delta in run.prompt_alone(group):
            out.add(run, delta)
        self._release(group, sequence.id)
        self._settle(run, out)

    def _start_samples(self, out: Outbox) -> None:
        """Start what is ready. A sample that ends at once may hand its id to the next one."""
        while self._starts:
            group, sample, sequence = self._starts.popleft()
            index = group.at * group.run.call.n + sample
            if index in group.run.dropped or group.run.cancelled:
                group.run.end(index, None)
                self._release(group, sequence)
            else:
                self._start(group, sample, sequence, out)

    def _start(self, group: PromptGroup, sample: int, id: int, out: Outbox) -> None:
        """Let a sample go on from its group's prompt."""
        run, length = group.run, len(group.prompt.ids)
        if id in group.sequences:
            self._memory.cut(id, length)
        else:
            self._memory.copy(min(group.sequences), id, length)
            group.sequences.add(id)
        opening = run.opening(group, sample)
        if opening is not None:
            out.add(run, opening)
        index = group.at * run.call.n + sample
        sequence = self._sequences[id] = Sequence(
            id=id,
            group=group,
            sample=sample,
            order=0,
            prompt=[],
            alone=run.alone,
            position=length,
            choice=run.choice(index),
            replay=deque(run.replayed(index)),
        )
        assert group.first_row is not None
        self._advance(sequence, group.first_row, out)
        if not group.pending and not any(other is group for other, _, _ in self._starts):
            group.first_row, group.entries = None, []

    def _advance(self, sequence: Sequence, row: Floats, out: Outbox) -> None:
        """Let a choice take its next token: a replayed one, else one sampled from the row."""
        choice, run = sequence.choice, sequence.group.run
        assert choice is not None
        if sequence.replay:
            sequence.token = sequence.replay.popleft()
            choice.accept(sequence.token, row)
        else:
            sequence.token = choice.next(row)
            out.add(run, choice.accept(sequence.token, row))
            self.counters.generated_tokens += 1
        if choice.finish_reason is not None:
            self._ends.append(time.monotonic())
            self._end_choice(sequence, out)

    def _end_choice(self, sequence: Sequence, out: Outbox) -> None:
        """The sequence's choice is over, one way or another."""
        group = sequence.group
        group.run.end(group.at * group.run.call.n + sequence.sample, sequence.choice)
        del self._sequences[sequence.id]
        self._release(group, sequence.id)
        self._settle(group.run, out)

    def _release(self, group: PromptGroup, sequence: int) -> None:
        sample = self._roster.release(group, sequence)
        if sample is not None:
            self._starts.append((group, sample, sequence))
            return
        group.sequences.discard(sequence)
        self._memory.retire(sequence, keep=not group.run.alone)

    def _reap(self, out: Outbox) -> None:
        """Take sequences away from what was cancelled; end calls of which every choice was
        dropped."""
        for sequence in list(self._sequences.values()):
            if _is_gone(sequence):
                self._give_up(sequence, out)
        for run in [run for run in self._runs if run.dropped]:
            self._settle(run, out)
        self._start_samples(out)

    def _give_up(self, sequence: Sequence, out: Outbox) -> None:
        """Take a sequence away from a cancelled call or a dropped choice."""
        for _, reserved in sequence.group.reserved:
            self._release(sequence.group, reserved)
        sequence.group.reserved.clear()
        self._end_choice(sequence, out)

    def _settle(self, run: Run, out: Outbox) -> None:
        """Tell a call's end, once."""
        if run.done and run in self._runs:
            self._runs.discard(run)
            out.end(run, run.finished())

    def _fail(self, run: Run, code: int, out: Outbox) -> None:
        """A call that the model cannot compute ends; its sequences are taken away by the next
        round."""
        run.cancelled = True
        self._roster.withdraw(run)
        if run in self._runs:
            self._runs.discard(run)
            message = f"The model failed to compute this request (llama_decode {code})."
            out.end(run, Refused(500, message, "internal_error"))

    # Steps

    def _step(self, step: Step) -> None:
        """Compute a step, and let its sequences take what comes out of it."""
        with self._lock:
            parts = [part for part in step if self._is_live(part.sequence)]
            if not parts or self._stopping:
                return
            length = self._fill(parts)
            self._in_step = {part.sequence.group.run for part in parts}
            self._context.abort(self._stopping)
        began, fault = time.perf_counter(), 0
        try:
            self._context.decode(length)
        except DecodeError as error:
            fault = error.code
        elapsed_s, out = time.perf_counter() - began, Outbox()
        with self._lock:
            self._in_step = set()
            if fault:
                self._recover(parts, fault, out)
            else:
                self._absorb(parts, out)
                self._measure(parts, length, elapsed_s)
        self._post(out)
        if fault and fault != ABORTED and len(parts) > 1:
            for part in parts:
                self._step([part])

    def _is_live(self, sequence: Sequence) -> bool:
        return self._sequences.get(sequence.id) is sequence and not _is_gone(sequence)

    def _fill(self, parts: Step) -> int:
        """Write a step into the batch; returns its length."""
        context, at = self._context, 0
        for sequence, count in parts:
            end, position = at + count, sequence.position
            if sequence.decoding:
                context.tokens[at] = sequence.token
            else:
                context.tokens[at:end] = sequence.prompt[position : position + count]
            context.positions[at:end] = np.arange(position, position + count)
            context.sequences[at:end] = sequence.id
            context.outputs[at:end] = sequence.outputs
            if sequence.rows(count):
                context.outputs[end - 1] = 1
            at = end
        return at

    def _absorb(self, parts: Step, out: Outbox) -> None:
        """Hand the computed rows to the sequences that they belong to."""
        total = sum(sequence.rows(count) for sequence, count in parts)
        logits = self._context.logits(total) if total else np.zeros((0, 0), np.float32)
        at = 0
        for sequence, count in parts:
            rows = logits[at : at + sequence.rows(count)]
            at += len(rows)
            if sequence.decoding:
                self._memory.append(sequence.id, [sequence.token])
                sequence.position += 1
                if not _is_gone(sequence):
                    self._advance(sequence, rows[0], out)
            else:
                self._absorb_chunk(sequence, count, rows, out)
        self._start_samples(out)
        self.counters.steps += 1

    def _absorb_chunk(self, sequence: Sequence, count: int, rows: Floats, out: Outbox) -> None:
        """A chunk of a prompt is computed."""
        start = sequence.position
        self._memory.append(sequence.id, sequence.prompt[start : start + count])
        if sequence.outputs:
            self._score(sequence, rows)
        sequence.position += count
        sequence.computed.append(count)
        if sequence.splits:
            sequence.splits.popleft()
        if sequence.position == len(sequence.prompt) and not _is_gone(sequence):
            self._prompt_done(sequence, rows[-1], out)

    def _score(self, sequence: Sequence, rows: Floats) -> None:
        """Prompt logprobs: each row tells of the token after it."""
        group, wanted = sequence.group, sequence.group.run.call.logprobs or 0
        for at, row in enumerate(rows, sequence.position + 1):
            if at < len(sequence.prompt):
                entry = group.entries[at]
                entry.logprob, entry.top = score(
                    row, sequence.prompt[at], wanted, self._model.piece
                )

    def _recover(self, parts: Step, fault: int, out: Outbox) -> None:
        """A step was not computed: forget what it left behind. A call that fails alone has
        failed."""
        for sequence, _ in parts:
            self._memory.cut(sequence.id, sequence.position)
        if fault != ABORTED and len(parts) == 1:
            self._fail(parts[0].sequence.group.run, fault, out)

    def _measure(self, parts: Step, length: int, elapsed_s: float) -> None:
        """Keep the running mean of what a prompt token costs."""
        if any(not sequence.decoding and count > 1 for sequence, count in parts):
            pace = elapsed_s / length
            self._token_s += PACE_SHARE * (pace - self._token_s)


def _is_gone(sequence: Sequence) -> bool:
    """Its call was cancelled, or its choice dropped."""
    run, choice = sequence.group.run, sequence.choice
    return run.cancelled or (choice is not None and choice.index in run.dropped)
