"""Stitching: what a resumed choice says, in the terms of the call that was cut.

Theory of operation. Deltas of a `Rest` get offsets that go on where those before the cut ended
(whoever merges the rests gives them their indexes). A stop that began before the seam is decided
here: the lost upstream may have sent its first characters, and the one that took over does not know
them. So while the text around the seam may still turn into such a stop, deltas wait; they go out as
they are once it cannot (any later stop is the upstream's own business), and are dropped when it
did.
"""

from collections.abc import Sequence

import msgspec

from baton.semantics.events import Call, Delta, Usage
from baton.semantics.handoff import Remainder, Rest
from baton.semantics.logprobs import shift
from baton.semantics.stop import StopMatcher
from baton.semantics.usage import guess


class Seam:
    """One rest's deltas, as the caller's but for the index."""

    __slots__ = ("_distance", "_matcher", "_over", "_shown", "_waiting", "rest")

    def __init__(self, rest: Rest) -> None:
        self.rest, self._over = rest, False
        self._distance: int | None = None if rest.offset is not None else 0
        self._waiting: list[Delta] = []
        matcher = StopMatcher(rest.call.stop or ())
        self._shown = len(matcher.feed(rest.tail)) - len(rest.tail)
        """Characters that the matcher is through with, counted from the seam."""
        self._matcher = matcher if self._shown < 0 and matcher.matched is None else None

    def over(self) -> bool:
        """Whether a stop has ended the choice: nothing more comes of it."""
        return self._over

    def opening(self) -> list[Delta]:
        """What comes before the upstream's first word: the rest of an echo."""
        return [Delta(0, self.rest.lead)] if self.rest.lead else []

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What of them may go out now."""
        if self.rest.whole:
            return [delta for delta in deltas if delta.index not in self.rest.finished]
        found: list[Delta] = []
        for delta in deltas:
            moved = self._moved(delta)
            if self._matcher is None:
                found.append(moved)
            else:
                found += self._straddling(self._matcher, moved)
            if self._over:
                break
        return found

    def _moved(self, delta: Delta) -> Delta:
        """The delta with the caller's offsets."""
        logprobs = delta.logprobs
        if logprobs is None or not logprobs.text_offset:
            return delta
        if self._distance is None:
            assert self.rest.offset is not None
            self._distance = self.rest.offset - logprobs.text_offset[0]
        if not self._distance:
            return delta
        return msgspec.structs.replace(delta, logprobs=shift(logprobs, self._distance))

    def _straddling(self, matcher: StopMatcher, delta: Delta) -> list[Delta]:
        """Hold deltas back until it is known whether a stop reaches over the seam."""
        self._waiting.append(delta)
        self._shown += len(matcher.feed(delta.text))
        if self._shown < 0 and matcher.matched is not None:
            self._over, self._waiting = True, []
            return [Delta(0, "", "stop")]
        if self._shown < 0 and delta.finish_reason is None:
            return []
        self._matcher = None
        waiting, self._waiting = self._waiting, []
        return waiting


def joined_usage(
    call: Call, left: Remainder, used: Sequence[tuple[Rest, Usage]], told: Usage | None
) -> Usage:
    """The usage of the whole logical call: each prompt once, every choice's tokens.

    `used` are the calls that were made since, with what each used itself; `told` is what the lost
    attempt said, whose count of the prompts holds. Details (cached tokens) are the lost attempt's
    alone: what a later one had cached says nothing about the caller's prompt.
    """
    exact, rough = dict[int, int](), dict[int, int]()
    tokens, estimated = left.finished_tokens, left.estimated
    for rest, usage in used:
        if rest.whole:
            return usage
        prompts = rough if rest.divided_anew else exact
        prompts[rest.index // call.n] = max(usage.prompt_tokens - rest.carried, 0)
        estimated |= usage.estimated
        if rest not in left.silent:
            tokens += rest.carried + usage.completion_tokens
    if told is not None:
        counted, estimated = told.prompt_tokens, estimated or told.estimated
    else:
        untold = set(range(len(call.prompts))) - exact.keys()
        guesses = {n: guess(call.prompts[n]) for n in untold - rough.keys()}
        counted = sum((guesses | rough | exact).values())
        estimated |= bool(untold)
    return Usage(
        prompt_tokens=counted,
        completion_tokens=min(tokens, call.completion_tokens_max),
        cached_tokens=None if told is None else told.cached_tokens,
        estimated=estimated,
    )
