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

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np

from baton.engine import cores
from baton.engine.batching import Part, Rounds, Sequence, Step
from baton.engine.crowding import Crowding, Usage
from baton.engine.drafting import Costs
from baton.engine.llama import Context, DecodeError, Model
from baton.engine.memory import Memory
from baton.engine.pace import Pace
from baton.engine.policy import Roster
from baton.engine.prefill import Job, Prefill
from baton.engine.runs import Run
from baton.engine.sequences import Counters, Outbox, Post, Sequences, is_gone
from baton.engine.trial import Trial
from baton.engine.wire import Refused

ABORTED = 2
"""What llama_decode answers when it was told to stop."""
WARM_UP_TOKENS = 16
REST_S = 0.1
"""Drafts are tried when nobody was at work for so long: calls one by one do not wait for steps of a
trial that they break off again and again."""
SHORT_RESTS_MAX = 20
"""So often calls come too soon for the trial of drafts; the next one waits for it."""
BUDGET_AIM = 0.9
"""The share of the budget that rounds are planned for: steps scatter by a tenth or so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The settings that the scheduler keeps to."""

    queue_max: int
    prefill_budget_s: float
    speculation: bool = True
    """Whether streams that are alone have drafts, where rows come out the same."""


class Scheduler:
    """Runs calls on one context. `deliver` is called from its thread with what came out of a
    step."""

    usage: Callable[[], Usage | None] = staticmethod(cores.usage)
    """How the machine's cores are used; None where nobody knows."""

    def __init__(
        self, model: Model, context: Context, bounds: Bounds, deliver: Callable[[Post], None]
    ) -> None:
        self._model, self._context, self._bounds = model, context, bounds
        self._deliver = deliver
        roster = Roster(context.sequences_max, bounds.queue_max)
        self._memory = Memory(context, keeps=model.cuttable)
        self._roster, self._sequences = roster, Sequences(model, self._memory, roster)
        self._in_step: set[Run] = set()
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._stopping = False
        self._told: Post = []
        self.turns = 0
        """Rounds and steps so far: it hangs where this stands still, unless it is"""
        self.idle = False
        """, with nothing to do."""
        self._untried, self._short_rests = bounds.speculation and model.cuttable, 0
        self._pace = self._warm_up()
        self._prefill = self._make_prefill()
        trial = Trial(model, context)
        agree, sizes = trial.prompts_agree(), trial.sizes()
        self._rounds = Rounds(context.chunk_tokens_max, self._pace, agree, sizes)
        self._crowding = Crowding(context.threads)

    def _make_prefill(self) -> Prefill:
        """Only beside one thread: several share the work of small chunks among themselves, and
        together with one more would be as many as there are cores."""
        model, context = self._model, self._context
        prefill = Prefill(
            lambda: Context(model, 1, context.sequence_tokens_max, context.threads), self._stepped
        )
        prefill.usable = context.threads == 1 and not model.gpu_layers and model.cuttable
        return prefill

    def _stepped(self) -> None:
        """The prefill thread got on."""
        self.turns += 1
        self._wake.set()

    # From the server's thread

    def submit(self, run: Run) -> Refused | None:
        """Queue a call; its messages follow. A Refused says that too many wait already."""
        with self._lock:
            refused = self._sequences.push(run)
        self._wake.set()
        return refused

    def cancel(self, run: Run) -> None:
        """No further step for the call."""
        with self._lock:
            self._sequences.withdraw(run)
            if self._in_step and all(other.cancelled for other in self._in_step):
                self._context.abort()
        self._wake.set()

    def pause(self, run: Run, paused: bool) -> None:
        """Leave a call out of steps while its reader is slow, or take it up again."""
        with self._lock:
            for group in run.groups:
                group.paused = paused
        self._wake.set()

    @property
    def counters(self) -> Counters:
        return self._sequences.counters

    @property
    def running(self) -> int:
        """Sequences at work."""
        return len(self._sequences.at_work)

    @property
    def kept_tokens(self) -> int:
        """Tokens in the memory of all sequences, at work or kept for later prompts."""
        return self._memory.tokens

    @property
    def waiting(self) -> int:
        """Choices without a sequence."""
        with self._lock:
            return self._roster.waiting

    def stop(self) -> None:
        """End the loop soon, also in the middle of a decode."""
        self._stopping = True
        self._context.abort()
        self._wake.set()

    # The thread

    def run_forever(self) -> None:
        """Serve until `stop`. An exception that comes out of here is a bug: the process must
        end."""
        try:
            while not self._stopping:
                self.turns += 1
                if not self._go_on():
                    self._tell()
                    if self._may_try_drafts():
                        self._try_drafts()
                    self._rest()
                    # Who sets it has put his work (or the stop) down before: the next turn sees it.
                    self._wake.clear()
        finally:
            self._tell()
            self._prefill.close()

    def _rest(self, at_most_s: float | None = None) -> bool:
        """Wait for something to do; whether there is."""
        self.idle = not self._prefill.busy
        woken = self._wake.wait(at_most_s)
        self.idle = False
        return woken

    def _may_try_drafts(self) -> bool:
        """Once, when nobody wants anything for a while, or too many did not let it come to that."""
        if not self._untried or self._sequences.at_work:  # paused, or aside
            return False
        if self._short_rests >= SHORT_RESTS_MAX:
            return True
        woken = self._rest(REST_S)
        self._short_rests += woken
        return not woken

    def _try_drafts(self) -> None:
        """Find out whether drafts come out the same, unless a call comes meanwhile.

        So the engine's start does not wait for it, nor does a call, unless many did not. The last
        id is the one that is most often empty."""
        last = self._context.sequences_max - 1
        self._memory.cut(last, 0)
        tried_s: dict[int, float] | None = {}
        self._context.abort(self._stopping)  # the last step may have been broken off
        with contextlib.suppress(DecodeError):  # it was told to stop meanwhile
            tried_s = Trial(self._model, self._context).drafts(last, self._call_waits)
        self._untried = tried_s is None
        self._short_rests += self._untried
        self._rounds.costs = Costs(tried_s) if tried_s else None

    def _call_waits(self) -> bool:
        return self._wake.is_set() and self._short_rests < SHORT_RESTS_MAX

    def _warm_up(self) -> Pace:
        """Read the weights in, and measure what a step and a token of a prompt take."""
        count = min(WARM_UP_TOKENS, self._context.batch_tokens_max)
        self._take(count)
        one_s, all_s = self._take(1), self._take(count)
        token_s = max((all_s - one_s) / max(count - 1, 1), all_s / count / 2)
        return Pace(max(one_s - token_s, 0.0), token_s)

    def _take(self, count: int) -> float:
        """Seconds of so many tokens, which are forgotten again."""
        context = self._context
        context.tokens[:count] = self._model.start or 0
        context.positions[:count] = np.arange(count)
        context.sequences[:count], context.outputs[:count] = 0, 0
        context.outputs[count - 1] = 1
        began = time.perf_counter()
        context.decode(count)
        elapsed_s = time.perf_counter() - began
        context.cut(0, 0)
        return elapsed_s

    def _go_on(self) -> bool:
        """The next steps; False when there was nothing to do."""
        out = Outbox()
        budget_s = self._bounds.prefill_budget_s * BUDGET_AIM
        with self._lock:
            self._sequences.reap(out)
        # Before others are admitted: each of them may copy a beginning, and again it would have to
        # wait for a decode.
        self._look_aside(budget_s, out)
        with self._lock:
            self._sequences.admit(out)
            steps = self._rounds.next(self._sequences.at_work.values(), budget_s)
        self._post(out)
        for step in steps:
            self.turns += 1
            self._step(step)
        return bool(steps)

    # Long prompts

    def _look_aside(self, budget_s: float, out: Outbox) -> None:
        """Take a long prompt back from the prefill thread, or give it the next one. Only this
        thread changes who is at work; what is copied here takes too long for the lock."""
        prefill = self._prefill
        if prefill.sequence is not None and not self._is_live(prefill.sequence):
            prefill.drop()
        if not self._memory.settled:
            return
        job = prefill.taken()
        if job is not None and self._is_live(job.sequence):
            self._tell()
            self._take_back(job, out)
        if not prefill.free:
            return
        long = self._rounds.long(self._sequences.at_work.values(), budget_s)
        if long is not None:
            long.aside = True
            self._tell()
            prefill.start(Job(long, self._memory.export(long.id), long.position))

    def _take_back(self, job: Job, out: Outbox) -> None:
        sequence = job.sequence
        for tokens, seconds in zip(job.chunks, job.chunks_s, strict=True):
            self.counters.stepped(tokens, 1, seconds)
        if job.state is None or job.row is None:
            sequence.aside = False
        elif self._memory.adopt(sequence.id, job.state, sequence.prompt):
            with self._lock:
                self._sequences.return_from_aside(sequence, job.chunks, job.row, out)
        else:  # a model whose state has another form: begin again here
            self._prefill.usable = False
            sequence.aside, sequence.position, sequence.computed = False, 0, []

    def _post(self, out: Outbox) -> None:
        """To be told soon: at the next decode, or before anything else that takes long."""
        self._told += out.messages()

    def _tell(self) -> None:
        """Hand on what there is to tell. Whoever takes it needs the interpreter, and would have to
        be waited for if this thread did not give it away right after."""
        if self._told:
            told, self._told = self._told, []
            self._deliver(told)

    # Steps

    def _step(self, step: Step) -> None:
        """Compute a step, and let its sequences take what comes out of it."""
        with self._lock:
            parts = [part for part in step if self._is_live(part.sequence)]
            if not parts or self._stopping or self._rounds.outgrown(step, parts):
                return
            length = self._fill(parts)
            self._in_step = {part.sequence.group.run for part in parts}
            self._context.abort(self._stopping)
        self._tell()
        self._context.use(self._threads(parts))
        began, spent_s, fault = time.perf_counter(), time.thread_time(), 0
        try:
            self._context.decode(length)
        except DecodeError as error:
            fault = error.code
        spent_s = time.thread_time() - spent_s
        elapsed_s, out = time.perf_counter() - began, Outbox()
        with self._lock:
            self._in_step = set()
            if fault:
                self._recover(parts, fault, out)
            else:
                self._memory.settled = True
                self._measure(parts, elapsed_s, spent_s)
                self._absorb(parts, out)
                self.counters.stepped(length, len(parts), elapsed_s)
        self._post(out)
        if fault and fault != ABORTED and _divides(parts):
            for sequence, count in parts:
                self._step([Part(sequence, 1 if sequence.decoding else count)])

    def _threads(self, parts: Step) -> int:
        """How many compute a step: all where bits shall be the same each time, which depend on it;
        else those that have a core."""
        crowding, now_s = self._crowding, time.monotonic()
        if crowding.due(now_s) and (usage := self.usage()) is not None:
            crowding.look(now_s, usage)
        return crowding.most if parts[0].sequence.alone else crowding.threads

    def _is_live(self, sequence: Sequence) -> bool:
        at_work = self._sequences.at_work.get(sequence.id)
        return at_work is sequence and not is_gone(sequence)

    def _fill(self, parts: Step) -> int:
        """Write a step into the batch; returns its length."""
        context, at = self._context, 0
        for sequence, count in parts:
            end, position = at + count, sequence.position
            if sequence.decoding:
                context.tokens[at:end] = [sequence.token, *sequence.draft[: count - 1]]
            else:
                context.tokens[at:end] = sequence.prompt[position : position + count]
            context.positions[at:end] = np.arange(position, position + count)
            context.sequences[at:end] = sequence.id
            context.outputs[at:end] = sequence.outputs or sequence.decoding
            if sequence.rows(count):
                context.outputs[end - 1] = 1
            at = end
        return at

    def _absorb(self, parts: Step, out: Outbox) -> None:
        """Hand the computed rows to the sequences that they belong to."""
        total = sum(sequence.rows(count) for sequence, count in parts)
        logits = self._context.logits(total)
        at = 0
        for sequence, count in parts:
            rows = logits[at : at + sequence.rows(count)]
            at += len(rows)
            self._sequences.absorb(sequence, count, rows, out)
        self._sequences.start_samples(out)

    def _recover(self, parts: Step, fault: int, out: Outbox) -> None:
        """A step was not computed: forget what it left behind. A call that fails alone has
        failed."""
        for sequence, _ in parts:
            self._memory.cut(sequence.id, sequence.position)
        if fault != ABORTED and not _divides(parts):
            self._sequences.fail(parts[0].sequence.group.run, fault, out)

    def _measure(self, parts: Step, elapsed_s: float, spent_s: float) -> None:
        """Learn what steps of one alone take (before they are absorbed): prompts by the clock, for
        streams wait that long, streams in processor time."""
        sequence, count = parts[0]
        if len(parts) > 1:
            return
        if sequence.decoding:
            if self._rounds.costs is not None:
                self._rounds.costs.measured(count, sequence.position, spent_s)
        elif not sequence.outputs:
            self._pace.measured(count, sequence.position, elapsed_s)


def _divides(parts: Step) -> bool:
    """Whether a step that fails may be tried in smaller ones: sequences alone, without drafts."""
    return len(parts) > 1 or (parts[0].sequence.decoding and parts[0].tokens > 1)
