"""A call's answer cut by us: at a stop that the upstream does not know, and at max_tokens.

Theory of operation. Each choice has a StopMatcher for its generated text and a count of its tokens.
What the matcher holds back keeps its logprobs with it: a token is shown once text at or after its
beginning is. A cut text ends in front of the stop; a token that reaches over the cut stays whole,
as its logprob is that of the whole token. An echoed prompt goes through untouched: it is as long as
the prompt, or, where that is ids, as their logprobs.

`over` tells that nobody wants to hear more although the upstream is not through: close it. What it
said in vain is `dropped`, to be taken off the usage.

Invariant: text, finish and logprobs depend only on the concatenated answer, not on how it was cut
into deltas; each choice has exactly one finish_reason, on its last delta.
"""

from collections.abc import Iterable, Sequence

import msgspec

from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Usage
from baton.semantics.logprobs import join, part, trim
from baton.semantics.stop import StopMatcher


class _Choice:
    """One choice: where its text stands, and what is held back of it."""

    __slots__ = (
        "at",
        "echo_chars",
        "echo_ids",
        "ended",
        "held",
        "matcher",
        "score",
        "scored",
        "tokens",
    )

    def __init__(self, call: Call, index: int, stops: Sequence[str]) -> None:
        prompt = call.prompts[index // call.n]
        text = isinstance(prompt, str)
        self.at = len(prompt) if text and not call.echo else 0
        """Offset of the next text."""
        self.echo_chars = len(prompt) if text and call.echo else 0
        self.echo_ids = len(prompt) if call.echo and not text else 0
        self.matcher = StopMatcher(stops)
        self.held: Logprobs | None = None
        self.tokens = self.scored = 0
        self.score = 0.0
        self.ended = False


class Cutter:
    """Feed it the deltas of a call; it gives what the caller shall see of them.

    `tokens_max` None: the upstream is trusted to keep to max_tokens.
    """

    def __init__(self, call: Call, stops: Sequence[str], tokens_max: int | None) -> None:
        assert not (call.echo and call.logprobs is None and not _all_text(call)), (
            "echo of no length"
        )
        self._call, self._stops, self._tokens_max = call, stops, tokens_max
        self._choices: dict[int, _Choice] = {}
        self._wanted = self._running = len(call.prompts) * call.n
        """Choices that have not ended for the caller, and those that the upstream has not ended."""
        self.dropped = 0
        """Tokens that came behind a cut; at least one for each piece of text."""

    @property
    def over(self) -> bool:
        """Whether the upstream works for nobody any more."""
        return not self._wanted and self._running > 0

    def feed(self, deltas: Iterable[Delta]) -> list[Delta]:
        found: list[Delta] = []
        for delta in deltas:
            self._running -= delta.finish_reason is not None
            choice = self._choices.get(delta.index)
            if choice is None:
                choice = _Choice(self._call, delta.index, self._stops)
                self._choices[delta.index] = choice
            if choice.ended:
                self.dropped += tokens_of(delta)
                continue
            echo, generated = _parted(choice, delta)
            if echo is not None:
                found.append(echo)
            if generated is not None:
                found += self._seen(choice, generated)
        return found

    def kept(self, usage: Usage) -> Usage:
        """The usage of the call without what was generated in vain."""
        if self._tokens_max == 0:
            return msgspec.structs.replace(usage, completion_tokens=0, reasoning_tokens=None)
        if not self.dropped:
            return usage
        # A count of our own was not let grow beyond max_tokens: it lacks what was dropped.
        kept = sum(choice.tokens for choice in self._choices.values())
        told = usage.completion_tokens
        left = max(told - self.dropped, min(told, kept))
        return msgspec.structs.replace(usage, completion_tokens=left, estimated=True)

    def _seen(self, choice: _Choice, delta: Delta) -> list[Delta]:
        tokens = tokens_of(delta)
        most = self._tokens_max
        if most == 0 or (most is not None and tokens and choice.tokens >= most):
            self.dropped += tokens
            return [self._cut(choice, delta, choice.matcher.finish(), "length")]
        choice.tokens += tokens
        if not self._stops:
            if delta.finish_reason is not None:
                self._end(choice)
            return [delta]
        return self._matched(choice, delta)

    def _matched(self, choice: _Choice, delta: Delta) -> list[Delta]:
        text = choice.matcher.feed(delta.text)
        if delta.logprobs is not None:
            held = choice.held
            choice.held = delta.logprobs if held is None else join([held, delta.logprobs])
        if choice.matcher.matched is not None:
            return [self._cut(choice, delta, text, "stop")]
        if delta.finish_reason is not None:
            self._end(choice)
            text += choice.matcher.finish()
            return [msgspec.structs.replace(delta, text=text, logprobs=choice.held)]
        logprobs = _shown(choice, text)
        if not text and logprobs is None:
            return []
        return [msgspec.structs.replace(delta, text=text, logprobs=logprobs)]

    def _cut(self, choice: _Choice, delta: Delta, text: str, reason: FinishReason) -> Delta:
        """The last delta of a choice that we end: it is scored by what is shown of it."""
        self._end(choice)
        logprobs = _shown(choice, text)
        score = choice.score if choice.scored and self._call.scored else None
        return Delta(
            delta.index, text, reason, logprobs, score=score, scored_tokens=choice.scored or None
        )

    def _end(self, choice: _Choice) -> None:
        choice.ended = True
        self._wanted -= 1


def tokens_of(delta: Delta) -> int:
    """Tokens of a delta: its ids, its logprobs, else one where it has text."""
    if delta.token_ids is not None:
        return len(delta.token_ids)
    return len(delta.logprobs.tokens) if delta.logprobs is not None else bool(delta.text)


def _parted(choice: _Choice, delta: Delta) -> tuple[Delta | None, Delta | None]:
    """The echoed part of a delta and the generated one, each if there is any."""
    if not choice.echo_chars and not choice.echo_ids:
        return None, delta
    logprobs, text = delta.logprobs, delta.text
    if choice.echo_ids:
        count = min(choice.echo_ids, len(logprobs.tokens) if logprobs is not None else 0)
        choice.echo_ids -= count
        rest = logprobs is not None and len(logprobs.tokens) > count
        end = logprobs.text_offset[count] - choice.at if rest and logprobs else len(text)
    else:
        end = min(choice.echo_chars, len(text))
        choice.echo_chars -= end
        count = len(trim(logprobs, choice.at + end).tokens) if logprobs is not None else 0
    choice.at += end
    head, tail = part(logprobs, count) if logprobs is not None else (None, None)
    echo = Delta(delta.index, text[:end], logprobs=head)
    if len(text) == end and delta.finish_reason is None and not (tail and tail.tokens):
        return echo, None
    ids = delta.token_ids or None  # of generated tokens alone, where they are told
    return echo, msgspec.structs.replace(delta, text=text[end:], logprobs=tail, token_ids=ids)


def _shown(choice: _Choice, text: str) -> Logprobs | None:
    """The logprobs of tokens that begin in the text that is shown now."""
    choice.at += len(text)
    if choice.held is None:
        return None
    shown, choice.held = part(choice.held, len(trim(choice.held, choice.at).tokens))
    known = [logprob for logprob in shown.token_logprobs if logprob is not None]
    choice.score += sum(known)
    choice.scored += len(known)
    return shown if shown.tokens else None


def _all_text(call: Call) -> bool:
    return all(isinstance(prompt, str) for prompt in call.prompts)
