"""The record and llama.cpp's cells change together: a reused prefix computes what it would anew."""

import numpy as np

from baton.engine.llama import Context, Model
from baton.engine.memory import Memory
from tests.engine.rig import logits

PROMPT = list(range(60, 160))


def prepared(tiny: Model) -> tuple[Context, Memory]:
    """Sequence 0 holds the prompt's first 80 tokens."""
    context = Context(tiny, 3, 256, threads=1)
    logits(context, PROMPT[:80])
    memory = Memory(context, keeps=True)
    memory.append(0, PROMPT[:80])
    return context, memory


def rest(context: Context, sequence: int, start: int) -> np.ndarray:
    """Compute the rest of the prompt on a sequence; its last logits."""
    count = len(PROMPT) - start
    context.tokens[:count], context.sequences[:count] = PROMPT[start:], sequence
    context.positions[:count], context.outputs[:count] = np.arange(start, len(PROMPT)), 0
    context.outputs[count - 1] = 1
    context.decode(count)
    last: np.ndarray = context.logits(1)[0].copy()
    return last


def test_a_prefix_is_copied(tiny: Model) -> None:
    """Another id gets what the prompt shares with a sequence, to the token."""
    context, memory = prepared(tiny)
    other = [*PROMPT[:70], 1, 2, 3]
    assert 70 == memory.begin(1, other, [1, 2])
    assert 80 == memory.begin(1, PROMPT, [1, 2])
    assert 80 + 80 + 70 == memory.tokens, "the first prompt was carried to the third id"
    found = rest(context, 1, 80)
    assert np.allclose(logits(context, PROMPT)[-1], found, atol=1e-3)
    context.close()


def test_a_prefix_is_taken_over_in_place(tiny: Model) -> None:
    """The id itself may hold it; what must go is cut off."""
    context, memory = prepared(tiny)
    assert 75 == memory.begin(0, [*PROMPT[:75], 1], [0])
    memory.append(0, [1])
    assert 75 == memory.begin(0, PROMPT, [0])
    found = rest(context, 0, 75)
    assert np.allclose(logits(context, PROMPT)[-1], found, atol=1e-3)
    context.close()


def test_content_is_carried_away_first(tiny: Model) -> None:
    """A prompt that needs the id does not cost what lay there, while another id is free."""
    context, memory = prepared(tiny)
    assert 0 == memory.begin(0, [7] * 20, [0, 1, 2])
    assert 80 == memory.begin(1, PROMPT, [1])
    found = rest(context, 1, 80)
    assert np.allclose(logits(context, PROMPT)[-1], found, atol=1e-3)
    context.close()


def test_what_must_not_serve_is_forgotten(tiny: Model) -> None:
    """Retired without keeping, or on a model that cannot be cut, content is not matched."""
    context, memory = prepared(tiny)
    memory.retire(0, keep=True)
    assert 80 == memory.begin(1, PROMPT, [])
    memory.retire(0, keep=False)
    memory.retire(1, keep=False)
    assert 0 == memory.begin(1, PROMPT, [])
    unable = Memory(context, keeps=False)
    unable.append(0, PROMPT)
    assert 0 == unable.begin(1, PROMPT, [])
    context.close()


def test_what_another_context_computed_is_adopted(tiny: Model) -> None:
    """It can be reused from then on; where it does not fit, the sequence is empty."""
    context, memory = prepared(tiny)
    wanted = logits(context, PROMPT)[-1]
    logits(context, PROMPT[:80])
    state = memory.export(0)
    assert state is not None
    assert None is memory.export(1)
    assert memory.adopt(1, state, PROMPT[:80])
    assert 160 == memory.tokens
    assert np.allclose(wanted, rest(context, 1, 80), atol=1e-3)
    assert not memory.adopt(0, state[:100], PROMPT[:80])
    assert 80 == memory.tokens
