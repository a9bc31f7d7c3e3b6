"""Which choice is which: (prompt, sample) ↔ index, and the best of several candidates.

Everywhere index = prompt * n + sample, prompt-major, counted within whoever numbers: the caller's
request counts its prompts and n; a call counts its own prompts and its own n.
"""

from collections.abc import Sequence

import msgspec

from baton.semantics.events import Delta


def index_of(prompt: int, sample: int, n: int) -> int:
    assert 0 <= sample < n
    return prompt * n + sample


def pick_best(deltas: Sequence[Delta], n: int, candidates: int) -> list[Delta]:
    """The n best of each prompt's candidates, as the choices of the request.

    Best is the highest mean logprob per token; of equals the earlier candidate. The best one is
    sample 0. A candidate without a score (it generated nothing) is the worst.
    """
    assert 1 <= n <= candidates
    parts: dict[int, list[Delta]] = {}
    for delta in deltas:
        parts.setdefault(delta.index, []).append(delta)
    picked: list[Delta] = []
    for prompt in range(-(-(max(parts, default=-1) + 1) // candidates)):
        indexes = range(prompt * candidates, (prompt + 1) * candidates)
        ranked = sorted(indexes, key=lambda index: -mean_logprob(parts.get(index, ())))
        for sample, index in enumerate(ranked[:n]):
            to = index_of(prompt, sample, n)
            picked += [moved(delta, to) for delta in parts.get(index, ())]
    return picked


def mean_logprob(parts: Sequence[Delta]) -> float:
    """Of one choice, from the score on its last delta; minus infinity without one."""
    if not parts or parts[-1].score is None:
        return float("-inf")
    last = parts[-1]
    assert last.score is not None
    tokens = last.scored_tokens
    if tokens is None:
        tokens = sum(len(part.token_ids) for part in parts if part.token_ids is not None)
    return last.score / tokens if tokens else float("-inf")


def moved(delta: Delta, index: int) -> Delta:
    """The delta as another choice's."""
    return delta if delta.index == index else msgspec.structs.replace(delta, index=index)
