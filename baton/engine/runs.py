"""A call inside the engine: its prompts, its choices, its counts. Pure; the scheduler moves it
along."""

import dataclasses
from collections import deque

import msgspec

from baton.engine.choice import Choice, Vocabulary
from baton.engine.policy import Group
from baton.engine.prompts import Prepared
from baton.engine.sampling import Floats, Sampling
from baton.engine.text import Entry, as_logprobs
from baton.engine.wire import Finished, Generate
from baton.semantics.events import Call, Delta, FinishReason, Usage

SEED_SPAN = 2**64


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What an engine decides about every call."""

    words: Vocabulary
    fim_ends: frozenset[int]
    """Tokens that end what is filled in; they count only in calls with a suffix."""
    shares: bool
    """Whether samples can share one computation of their prompt."""
    deterministic: bool
    """Whether every call is computed alone."""


class PromptGroup(Group, eq=False, kw_only=True):
    """One prompt of a run, from waiting to the start of its last sample."""

    run: "Run"
    at: int
    """Which prompt of the call."""
    prompt: Prepared
    sequences: set[int] = msgspec.field(default_factory=set)
    """Ids whose memory begins with the computed prompt."""
    reserved: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Sample and id pairs that start when the prompt is computed."""
    computed: bool = False
    first_row: Floats | None = None
    """Logits after the prompt: every sample's first token is chosen from them."""
    entries: list[Entry] = msgspec.field(default_factory=list)
    """The prompt's logprobs, where they are wanted."""


class Run:
    """A call that was accepted. `seed` is the call's own, or one drawn for it."""

    def __init__(
        self, request: Generate, prompts: list[Prepared], shape: Shape, seed: int, now_s: float
    ) -> None:
        call = self.call = request.call
        self.prompts, self.seed, self.accepted_s = prompts, seed, now_s
        self.started_s: float | None = None
        self.scored = call.echo and call.logprobs is not None
        """Whether logprobs of the prompts are wanted."""
        self.alone = call.deterministic or shape.deterministic or self.scored
        self.cancelled = False
        self.cached_tokens = self.completion_tokens = 0
        self.splits: list[list[int]] = [[] for _ in prompts]
        self._replay, self._echoed = request.replay, request.echoed
        ends = shape.fim_ends if call.suffix is not None else shape.words.ends
        self._words = Vocabulary(shape.words.piece, ends)
        self._how = _sampling(call, seed, apart=request.drawn or call.seed is None)
        self._unfinished = set(range(len(prompts) * call.n))
        self.groups = self._make_groups(shape.shares)

    def _make_groups(self, shares: bool) -> list[PromptGroup]:
        """One per prompt, or one per choice where samples cannot share."""
        self._skip_finished()
        n, groups = self.call.n, list[PromptGroup]()
        for at in range(len(self.prompts)):
            samples = [s for s in range(n) if at * n + s in self._unfinished]
            if not self._computes or not samples:
                continue
            batches = [samples] if shares or not self.call.max_tokens else [[s] for s in samples]
            groups += [self._make_group(at, batch) for batch in batches]
        return groups

    def _make_group(self, at: int, samples: list[int]) -> PromptGroup:
        prompt = self.prompts[at]
        # Without a token to generate, one sequence computes the prompt for all samples.
        pending = samples if self.call.max_tokens else samples[:1]
        return PromptGroup(
            call=self,
            tenant=self.call.tenant,
            pending=deque(pending),
            run=self,
            at=at,
            prompt=prompt,
        )

    @property
    def _computes(self) -> bool:
        """Whether the model is needed at all."""
        return bool(self.call.max_tokens) or self.scored

    @property
    def choices(self) -> int:
        """Choices that need a sequence."""
        return sum(len(group.pending) for group in self.groups)

    @property
    def done(self) -> bool:
        return not self._unfinished

    def choice(self, index: int) -> Choice:
        prompt = self.prompts[index // self.call.n]
        return Choice(index, self.call, prompt, self._how, self._words)

    def replayed(self, index: int) -> list[int]:
        """Ids that a choice already has."""
        return [] if self._replay is None else self._replay[index]

    def _skip_finished(self) -> None:
        """Choices that a replay brings along whole have nothing left to say."""
        if self._replay is None:
            return
        for index in range(len(self.prompts) * self.call.n):
            choice = self.choice(index)
            for token in self.replayed(index):
                choice.accept(token, None)
                if choice.finish_reason is not None:
                    self.end(index, choice)
                    break

    def opening(self, group: PromptGroup, sample: int) -> Delta | None:
        """What a choice begins with: the echo, and its end where nothing is to be generated."""
        index = group.at * self.call.n + sample
        reason: FinishReason | None = None if self.call.max_tokens else "length"
        echo = self.call.echo and not (self._echoed is not None and self._echoed[index])
        if not echo and reason is None:
            return None
        text = group.prompt.text if echo else ""
        logprobs = as_logprobs(group.entries if echo else []) if self._tells_logprobs else None
        return Delta(index=index, text=text, finish_reason=reason, logprobs=logprobs)

    @property
    def _tells_logprobs(self) -> bool:
        return self.call.logprobs is not None

    def prompt_alone(self, group: PromptGroup) -> list[Delta]:
        """The answer of a call that wants its prompt's logprobs and nothing generated."""
        n, deltas = self.call.n, list[Delta]()
        for sample in range(n):
            if group.at * n + sample in self._unfinished:
                delta = self.opening(group, sample)
                assert delta is not None, "without a token to generate there is always an end"
                deltas.append(delta)
                self.end(group.at * n + sample, None)
        return deltas

    def immediate(self) -> list[Delta]:
        """The whole answer of a call that needs no computation."""
        if self._computes:
            return []
        groups = (self._make_group(at, [0]) for at in range(len(self.prompts)))
        return [delta for group in groups for delta in self.prompt_alone(group)]

    def end(self, index: int, choice: Choice | None) -> None:
        """A choice has its finish_reason, or is given up."""
        self._unfinished.discard(index)
        if choice is not None:
            self.completion_tokens += len(choice.ids)

    def finished(self) -> Finished:
        usage = Usage(
            prompt_tokens=sum(len(prompt.ids) for prompt in self.prompts),
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
        )
        started_s = self.accepted_s if self.started_s is None else self.started_s
        return Finished(usage, self.splits, started_s - self.accepted_s)


def _sampling(call: Call, seed: int, apart: bool) -> Sampling:
    half = SEED_SPAN // 2
    return Sampling(
        temperature=call.temperature,
        top_p=call.top_p,
        presence_penalty=call.presence_penalty,
        frequency_penalty=call.frequency_penalty,
        bias=call.logit_bias or {},
        seed=(seed + half) % SEED_SPAN - half,
        apart=apart,
    )
