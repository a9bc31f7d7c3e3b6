"""The sequences at work: from a free id over a group's prompt to its samples, and back. No threads.

Whoever holds the scheduler's lock may call; nothing here waits or decodes. What there is to tell
the callers is put into an `Outbox`."""

import dataclasses
import time
from collections import deque
from collections.abc import Iterator

from baton.engine.batching import Sequence
from baton.engine.choice import score
from baton.engine.llama import Floats, Model
from baton.engine.memory import Memory
from baton.engine.policy import Roster
from baton.engine.runs import PromptGroup, Run
from baton.engine.wire import Deltas, Finished, Refused
from baton.semantics.events import Delta
from baton.telemetry.metrics import Histogram

Message = Deltas | Finished | Refused
Post = list[tuple[Run, Message]]
ENTRIES_MAX = 8192
"""Logprob entries in one message: some 10 MB with 20 alternatives each."""
RATE_WINDOW = 32
"""Finished choices from which the rate of service is estimated."""
RETRY_AFTER_S_MAX = 60.0


@dataclasses.dataclass(slots=True)
class Counters:
    """What the engine did since it started."""

    steps: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompts: int = 0
    """Prompts that were begun."""
    reused_prompts: int = 0
    """Of these, prompts of which a beginning lay in the cache."""
    batch_tokens: int = 0
    """Tokens computed in all steps."""
    batch_sequences: int = 0
    """Sequences in all steps: together with `steps`, how many share one."""
    drafted_tokens: int = 0
    """Tokens computed on trial beside the one that was due (drafting.py)."""
    accepted_tokens: int = 0
    """Of these, tokens that were what was sampled."""
    step: Histogram = dataclasses.field(default_factory=Histogram)
    """Seconds of each step."""
    queue: Histogram = dataclasses.field(default_factory=Histogram)
    """Seconds between a call's acceptance and the first step that serves it."""

    def stepped(self, tokens: int, sequences: int, seconds: float) -> None:
        """One decode was computed."""
        self.steps += 1
        self.batch_tokens += tokens
        self.batch_sequences += sequences
        self.step.observe(seconds)


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
        deltas: Post = [
            (run, Deltas(some))
            for run, deltas in self._deltas.items()
            for some in _portions(deltas)
        ]
        return deltas + self._ends


def _portions(deltas: list[Delta]) -> Iterator[list[Delta]]:
    """Deltas in portions that fit into a frame: many echoes with logprobs are large."""
    portion, entries = list[Delta](), 0
    for delta in deltas:
        size = 0 if delta.logprobs is None else len(delta.logprobs.tokens)
        if portion and entries + size > ENTRIES_MAX:
            yield portion
            portion, entries = [], 0
        portion.append(delta)
        entries += size
    yield portion


class Sequences:
    """Everything that runs or waits."""

    def __init__(self, model: Model, memory: Memory, roster: Roster) -> None:
        self._model, self._memory, self._roster = model, memory, roster
        self.at_work: dict[int, Sequence] = {}
        self._runs: set[Run] = set()
        self._immediate: deque[Run] = deque()
        """Calls that need no computation."""
        self._starts: deque[tuple[PromptGroup, int, int]] = deque()
        """Group, sample and id of what starts next."""
        self._ends: deque[float] = deque(maxlen=RATE_WINDOW)
        self._orders = 0
        self.counters = Counters()

    # Calls

    def push(self, run: Run) -> Refused | None:
        """Queue a call; a Refused says that too many wait already."""
        if run.groups and not self._roster.admits(run.choices):
            message = "The model is busy. Please retry later."
            return Refused(429, message, "overloaded", None, self._wait_s())
        self._runs.add(run)
        if not run.groups:
            self._immediate.append(run)
        self._roster.push(run.groups)
        self.counters.prompt_tokens += sum(len(prompt.ids) for prompt in run.prompts)
        return None

    def withdraw(self, run: Run) -> None:
        """Nothing of the call starts any more; its sequences go with the next `reap`."""
        run.cancelled = True
        self._roster.withdraw(run)
        self._runs.discard(run)

    def fail(self, run: Run, code: int, out: Outbox) -> None:
        """End a call that the model cannot compute."""
        if run in self._runs:
            message = f"The model failed to compute this request (llama_decode {code})."
            out.end(run, Refused(500, message, "internal_error"))
        self.withdraw(run)

    def _wait_s(self) -> float:
        """When the queue will have room, by the rate at which choices ended lately."""
        if len(self._ends) < 2:
            return 1.0
        rate = len(self._ends) / max(time.monotonic() - self._ends[0], 0.001)
        return min(max(1.0, self._roster.waiting / rate), RETRY_AFTER_S_MAX)

    def _answer(self, run: Run, out: Outbox) -> None:
        """A call that is done without a step."""
        for delta in run.immediate():
            out.add(run, delta)
        self._settle(run, out)

    # From a group's prompt to its samples, and back to the roster

    def admit(self, out: Outbox) -> None:
        """Give free ids to those whose turn it is."""
        while self._immediate:
            self._answer(self._immediate.popleft(), out)
        while (grant := self._roster.grant()) is not None:
            group, sample, sequence = grant
            assert isinstance(group, PromptGroup)
            if group.computed:
                self._share(group, sequence)
                self._starts.append((group, sample, sequence))
                self.start_samples(out)
            elif group.sequences:
                group.reserved.append((sample, sequence))
            else:
                self._begin(group, sample, sequence)

    def _begin(self, group: PromptGroup, sample: int, sequence: int) -> None:
        """Compute a group's prompt on this id."""
        run = group.run
        if run.started_s is None:
            run.started_s = time.monotonic()
            self.counters.queue.observe(run.started_s - run.accepted_s)
        if run.alone:
            self._memory.cut(sequence, 0)
            reused = 0
        else:
            reused = self._memory.begin(sequence, group.prompt.ids, self._roster.free)
        run.cached_tokens += reused
        self.counters.cached_tokens += reused
        self.counters.prompts += 1
        self.counters.reused_prompts += reused > 0
        group.entries = group.prompt.entries() if run.scored else []
        group.sequences.add(sequence)
        self._orders += 1
        self.at_work[sequence] = Sequence(
            id=sequence,
            group=group,
            sample=sample,
            order=self._orders,
            prompt=group.prompt.ids,
            alone=run.alone,
            outputs=run.scored,
            position=reused,
        )

    def _prompt_done(self, sequence: Sequence, row: Floats, out: Outbox) -> None:
        group, run = sequence.group, sequence.group.run
        group.computed, group.first_row = True, row.copy()
        run.splits[group.at] = run.splits[group.at] or sequence.computed
        del self.at_work[sequence.id]
        if run.call.max_tokens:
            self._starts.append((group, sequence.sample, sequence.id))
            # All copies first: a sample that ends at once gives the prompt away with its id.
            for reserved, id in group.reserved:
                self._share(group, id)
                self._starts.append((group, reserved, id))
            group.reserved.clear()
            return
        for delta in run.prompt_alone(group):
            out.add(run, delta)
        self._release(group, sequence.id)
        self._settle(run, out)

    def _share(self, group: PromptGroup, sequence: int) -> None:
        """Give an id the group's computed prompt."""
        self._memory.copy(min(group.sequences), sequence, len(group.prompt.ids))
        group.sequences.add(sequence)

    def start_samples(self, out: Outbox) -> None:
        """Start what is ready. A sample that ends at once may hand its id to the next one."""
        while self._starts:
            group, sample, sequence = self._starts.popleft()
            index = group.at * group.run.call.n + sample
            if group.run.cancelled:
                group.run.end(index, None)
                self._release(group, sequence)
            else:
                self._start(group, sample, sequence, out)

    def _start(self, group: PromptGroup, sample: int, id: int, out: Outbox) -> None:
        """Let a sample go on from its group's prompt."""
        run, length = group.run, len(group.prompt.ids)
        self._memory.cut(id, length)
        opening = run.opening(group, sample)
        if opening is not None:
            out.add(run, opening)
        index = group.at * run.call.n + sample
        sequence = self.at_work[id] = Sequence(
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
        self._end_if_over(sequence, out)
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

    def _end_if_over(self, sequence: Sequence, out: Outbox) -> None:
        if sequence.choice is not None and sequence.choice.finish_reason is not None:
            self._ends.append(time.monotonic())
            self._end_choice(sequence, out)

    def _end_choice(self, sequence: Sequence, out: Outbox) -> None:
        """The sequence's choice is over, one way or another."""
        group = sequence.group
        group.run.end(group.at * group.run.call.n + sequence.sample, sequence.choice)
        del self.at_work[sequence.id]
        self._release(group, sequence.id)
        self._settle(group.run, out)

    def _release(self, group: PromptGroup, sequence: int) -> None:
        sample = self._roster.release(group, sequence)
        if sample is not None:
            self._starts.append((group, sample, sequence))
            return
        group.sequences.discard(sequence)
        self._memory.retire(sequence, keep=not group.run.alone)

    def reap(self, out: Outbox) -> None:
        """Take sequences away from what was cancelled."""
        for sequence in list(self.at_work.values()):
            if is_gone(sequence):
                self._give_up(sequence, out)
        self.start_samples(out)

    def _give_up(self, sequence: Sequence, out: Outbox) -> None:
        """Take a sequence away from a cancelled call."""
        for _, reserved in sequence.group.reserved:
            self._release(sequence.group, reserved)
        sequence.group.reserved.clear()
        self._end_choice(sequence, out)

    def _settle(self, run: Run, out: Outbox) -> None:
        """Tell a call's end, once."""
        if run.done and run in self._runs:
            self._runs.discard(run)
            out.end(run, run.finished())

    # What a step computed

    def absorb(self, sequence: Sequence, count: int, rows: Floats, out: Outbox) -> None:
        """The next `count` tokens of a sequence are computed; `rows` are its logits. What is
        drafted and not sampled is forgotten."""
        if not sequence.decoding:
            self._absorb_chunk(sequence, count, rows, out)
            return
        fed, kept = [sequence.token, *sequence.draft[: count - 1]], 1
        if not is_gone(sequence):
            kept = self._follow(sequence, fed, rows, out)
        self._memory.append(sequence.id, fed[:kept])
        sequence.position += kept
        if kept < count:
            self._memory.cut(sequence.id, sequence.position)
        if count > 1:
            self.counters.drafted_tokens += count - 1
            self.counters.accepted_tokens += kept - 1
        self._end_if_over(sequence, out)

    def _follow(self, sequence: Sequence, fed: list[int], rows: Floats, out: Outbox) -> int:
        """Sample from row after row for as long as its token is what was sampled before it (the
        first one's is), and to the choice's end at most; how many rows that were."""
        choice, at = sequence.choice, 0
        assert choice is not None
        while True:
            self._advance(sequence, rows[at], out)
            at += 1
            over = choice.finish_reason is not None or at == len(fed)
            if over or fed[at] != sequence.token:
                return at

    def _absorb_chunk(self, sequence: Sequence, count: int, rows: Floats, out: Outbox) -> None:
        """A chunk of a prompt is computed."""
        start = sequence.position
        self._memory.append(sequence.id, sequence.prompt[start : start + count])
        if sequence.outputs:
            self._score(sequence, rows)
        sequence.position += count
        sequence.computed.append(count)
        if sequence.position == len(sequence.prompt) and not is_gone(sequence):
            self._prompt_done(sequence, rows[-1], out)

    def return_from_aside(
        self, sequence: Sequence, chunks: list[int], row: Floats, out: Outbox
    ) -> None:
        """Another thread computed the rest of a prompt, and its memory holds it now."""
        sequence.aside, sequence.position = False, len(sequence.prompt)
        sequence.computed += chunks
        self._prompt_done(sequence, row, out)
        self.start_samples(out)

    def _score(self, sequence: Sequence, rows: Floats) -> None:
        """Prompt logprobs: each row tells of the token after it."""
        group, wanted = sequence.group, sequence.group.run.call.logprobs or 0
        for at, row in enumerate(rows, sequence.position + 1):
            if at < len(sequence.prompt):
                entry = group.entries[at]
                entry.logprob, entry.top = score(
                    row, sequence.prompt[at], wanted, self._model.piece
                )


def is_gone(sequence: Sequence) -> bool:
    """Its call was cancelled."""
    return sequence.group.run.cancelled
