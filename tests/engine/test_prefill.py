"""The thread for long prompts: what it computes, drops, and gives back undone."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from baton.engine.batching import Sequence
from baton.engine.choice import Vocabulary
from baton.engine.llama import Context, Model
from baton.engine.model_file import LoadError
from baton.engine.pace import TILE_TOKENS
from baton.engine.prefill import CHUNK_TOKENS, Job, Prefill, chunks
from baton.engine.prompts import Prepared
from baton.engine.runs import Run, Shape
from baton.engine.wire import Generate
from tests.engine.rig import call, wait_until

PROMPT = [7 + at % 200 for at in range(2 * CHUNK_TOKENS + 10)]
SHAPE = Shape(Vocabulary(lambda token, special: b"x", frozenset()), frozenset(), True, False)
Make = Callable[[], Context]


def job(ids: list[int], position: int = 0) -> Job:
    """A prompt that is to be computed from some position on."""
    (group,) = Run(Generate(call(ids)), [Prepared(ids=ids, text="")], SHAPE, 0, 0.0).groups
    return Job(Sequence(id=0, group=group, sample=0, order=0, prompt=ids), None, position)


@pytest.fixture
def make(tiny: Model) -> Make:
    return lambda: Context(tiny, 1, 512, threads=1)


@pytest.fixture
def context(make: Make) -> Iterator[Context]:
    made = make()
    yield made
    made.close()


def computed(prefill: Prefill, one: Job) -> Job:
    """Give the job, and take it when it is over."""
    prefill.start(one)
    assert not prefill.free
    wait_until(lambda: one.over)
    assert one is prefill.taken()
    assert None is prefill.taken()
    return one


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (1, [1]),
        (TILE_TOKENS, [TILE_TOKENS]),
        (CHUNK_TOKENS, [CHUNK_TOKENS]),
        (CHUNK_TOKENS + 1, [CHUNK_TOKENS + 1]),
        (CHUNK_TOKENS + TILE_TOKENS, [CHUNK_TOKENS, TILE_TOKENS]),
        (2 * CHUNK_TOKENS + 10, [CHUNK_TOKENS, CHUNK_TOKENS + 10]),
    ],
)
def test_no_chunk_is_small(tokens: int, wanted: list[int]) -> None:
    """A rest below the tiled kernel's size goes along."""
    assert wanted == chunks(tokens)


def test_a_prompt_in_two_halves(make: Make, context: Context) -> None:
    """What the sequence held and what was computed make up the whole, in a context that adopts it;
    each chunk is told of."""
    steps = threading.Semaphore(0)
    prefill = Prefill(make, steps.release)
    first = computed(prefill, job(PROMPT[:100]))
    assert first.state is not None
    second = job(PROMPT, 100)
    second.held = first.state
    computed(prefill, second)
    assert [[100], [len(PROMPT) - 100]] == [first.chunks, second.chunks]
    assert all(steps.acquire(timeout=5) for _ in ("100", "over", "166", "over"))
    whole = computed(prefill, job(PROMPT))
    assert [CHUNK_TOKENS, CHUNK_TOKENS + 10] == whole.chunks
    rows = []
    for one in (second, whole):
        assert one.state is not None
        assert context.adopt(0, one.state)
        context.tokens[0], context.positions[0], context.outputs[0] = 50, len(PROMPT), 1
        context.decode(1)
        rows.append(context.logits(1)[0].copy())
    assert np.allclose(rows[0], rows[1], atol=1e-3)
    assert second.row is not None
    assert whole.row is not None
    assert np.allclose(second.row, whole.row, atol=1e-3)
    prefill.close()


def test_a_dropped_job_ends_in_the_middle(make: Make) -> None:
    """Whenever that comes, and the thread takes the next one."""
    one = job(PROMPT)

    def drop() -> None:
        if not one.over:
            prefill.drop()

    prefill = Prefill(make, drop)
    computed(prefill, one)
    assert [CHUNK_TOKENS] == one.chunks
    assert None is one.state
    assert prefill.free
    assert computed(prefill, job(PROMPT[:9])).state is not None
    prefill.close()


def test_without_a_context_it_is_no_use(make: Make) -> None:
    """The job comes back as it was, and no other one is wanted."""

    def fail() -> Context:
        raise LoadError("no memory")

    prefill = Prefill(fail, lambda: None)
    one = computed(prefill, job(PROMPT))
    assert (None, []) == (one.state, one.chunks)
    assert not prefill.free
    prefill.close()


def test_what_it_cannot_adopt_comes_back(make: Make) -> None:
    """A state of another model: the scheduler computes the prompt itself."""
    prefill, one = Prefill(make, lambda: None), job(PROMPT, 20)
    one.held = np.zeros(100, np.uint8)
    assert None is computed(prefill, one).state
    assert not prefill.free
    prefill.close()


def test_close_without_a_job_and_in_the_middle_of_one(make: Make) -> None:
    """Its thread is gone afterwards."""
    Prefill(make, lambda: None).close()
    prefill = Prefill(make, lambda: None)
    prefill.start(job(PROMPT))
    prefill.close()
    assert "prefill" not in [thread.name for thread in threading.enumerate()]
