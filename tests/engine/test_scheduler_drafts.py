"""Drafts change when tokens come, never which: two engines, with and without."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from baton.engine import scheduler as module
from baton.engine.drafting import Costs
from baton.engine.llama import Context, DecodeError, Library, Model
from baton.engine.scheduler import SHORT_RESTS_MAX, Bounds
from baton.semantics.events import Call
from tests.engine.rig import Pending, Rig, call, wait_until
from tests.engine.test_scheduler import VILLAGE
from tests.fakes import tiny_gguf

CITIES = ("Lisbon", "Porto", "Madrid", "Seville", "Valencia", "Toulouse", "Marseille", "Lyon")
LIST = "".join(f"{at}. {city}\n" for at, city in enumerate(CITIES, 1))
AGAIN = f"Cities:\n{LIST}\nThe same list again:\n1. Lisbon\n2. Porto\n"
LONG = 96
READABLE = {token: -100.0 for token in range(tiny_gguf.VOCABULARY_SIZE) if not 32 <= token < 127}
"""Bans what is no letter, so that a text of the small model is as long as its tokens."""
PLAIN = Bounds(queue_max=64, prefill_budget_s=0.1, speculation=False)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Both engines get the same calls in the same order, so that their caches are alike."""

    drafting: Rig
    plain: Rig

    def complete(self, *calls: Call) -> list[Pending]:
        """Calls at once; what came of them is equal to the last bit, and returned."""
        found, wanted = (
            [one.wait() for one in [rig.start(each) for each in calls]]
            for rig in (self.drafting, self.plain)
        )
        for mine, plain in zip(found, wanted, strict=True):
            for index in range(mine.run.call.n):
                assert plain.of(index) == mine.of(index)
            assert plain.finished.usage == mine.finished.usage
        return found

    def accepted(self) -> int:
        counters = self.drafting.scheduler.counters
        assert counters.accepted_tokens <= counters.drafted_tokens
        return counters.accepted_tokens

    def drafted(self) -> int:
        return self.drafting.scheduler.counters.drafted_tokens


@contextlib.contextmanager
def paired(model: Model) -> Iterator[Pair]:
    with Rig(model, 4, 512) as drafting, Rig(model, 4, 512, bounds=PLAIN) as plain:
        drafting.complete(call("x", max_tokens=1))
        wait_until(lambda: drafting.scheduler._rounds.costs is not None)
        plain.complete(call("x", max_tokens=1))
        yield Pair(drafting, plain)
        assert 0 == plain.scheduler.counters.drafted_tokens


@pytest.fixture(scope="module")
def pair(model: Model) -> Iterator[Pair]:
    """With the default model."""
    with paired(model) as found:
        yield found


@pytest.fixture(scope="module")
def small(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model a hundred times as quick, whose noise comes round again and again: drafts come true,
    and every now and then they do not."""
    path = tiny_gguf.write(tmp_path_factory.mktemp("small") / "small.gguf", repeats=True)
    with contextlib.closing(Model(library, str(path))) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def small_pair(small: Model) -> Iterator[Pair]:
    """For whatever does not depend on what a step computes, but on where drafts begin and end."""
    with paired(small) as found:
        found.drafting.scheduler._rounds.costs = Steady()
        yield found


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 3},
        {"temperature": 0.8, "top_p": 0.95, "seed": 5, "logprobs": 1, "echo": False},
        {"presence_penalty": 0.3, "frequency_penalty": 0.1},
        {"temperature": 0.8, "seed": 1, "logit_bias": {4060: 3.0}, "scored": True},
    ],
)
def test_a_list_said_again(pair: Pair, fields: dict[str, Any]) -> None:
    """Ids, texts, logprobs, ends and counts are those of an engine without; so is every delta."""
    drafted = pair.drafted()
    pair.complete(call(AGAIN, max_tokens=40, **fields))
    assert pair.drafted() > drafted


class Steady(Costs):
    """Steps that take as long as they did on a quiet machine, whatever this one does meanwhile:
    how many tokens are tried follows what a step of them takes (docs/decisions/0042)."""

    def __init__(self) -> None:
        super().__init__({1: 0.0211, 2: 0.0258, 4: 0.0349, 8: 0.0791})

    def measured(self, size: int, depth: int, seconds: float) -> None:
        """Nothing is learnt."""


def test_drafts_are_made_and_come_true(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in far fewer steps than tokens."""
    monkeypatch.setattr(pair.drafting.scheduler._rounds, "costs", Steady())
    before, steps = pair.accepted(), pair.drafting.scheduler.counters.steps
    (done,) = pair.complete(call(AGAIN, max_tokens=48))
    assert pair.accepted() - before > 20
    assert pair.drafting.scheduler.counters.steps - steps < len(done.ids()) * 0.7


def test_the_end_within_a_draft(small_pair: Pair) -> None:
    """A stop, or max_tokens, wherever it falls: nothing more comes, nothing more is counted, and
    the next prompt finds as much in the cache as ever."""
    (whole,) = small_pair.complete(call(AGAIN, max_tokens=LONG, logit_bias=READABLE))
    text, before = whole.text(), small_pair.accepted()
    for at in range(40, LONG - 4, 4):
        stop = [text[at : at + 4]]
        (done,) = small_pair.complete(call(AGAIN, max_tokens=LONG, logit_bias=READABLE, stop=stop))
        assert "stop" == done.finish()
    for count in range(40, LONG, 3):
        (done,) = small_pair.complete(call(AGAIN, max_tokens=count, logit_bias=READABLE))
        assert (count, "length") == (len(done.ids()), done.finish())
        assert count == done.finished.usage.completion_tokens
        small_pair.complete(call(AGAIN + text[: count + 20], max_tokens=1))
    assert small_pair.accepted() > before + LONG


def test_the_end_of_the_context(pair: Pair) -> None:
    """The last tokens that a sequence has room for."""
    prompt = pair.plain.model.tokenize(AGAIN)
    filled = (prompt * 9)[: 512 - 20]
    ban = {token: -100.0 for token in pair.plain.model.ends}
    (done,) = pair.complete(call(filled, max_tokens=20, logit_bias=ban))
    assert 20 == len(done.ids())


def test_several_samples(pair: Pair) -> None:
    """The one that is left alone goes on with drafts."""
    before = pair.accepted()
    pair.complete(call(AGAIN, n=2, max_tokens=40, temperature=0.9, seed=3, stop=["5."]))
    ban = {token: -100.0 for token in pair.plain.model.ends}
    pair.complete(
        call(AGAIN, max_tokens=40, logit_bias=ban), call(VILLAGE, max_tokens=5, logit_bias=ban)
    )
    assert pair.accepted() > before


def test_streams_beside_each_other_have_none(small_pair: Pair) -> None:
    """A further token of one costs as much as another's."""
    drafted = small_pair.drafted()
    small_pair.complete(call(AGAIN, max_tokens=LONG, n=2, logit_bias=READABLE))
    assert drafted == small_pair.drafted()
    small_pair.complete(call(AGAIN, max_tokens=LONG, logit_bias=READABLE))
    assert drafted < small_pair.drafted()


@pytest.mark.parametrize("fields", [{"deterministic": True}, {"echo": True, "logprobs": 1}])
def test_deterministic_and_scored_calls_have_none(small_pair: Pair, fields: dict[str, Any]) -> None:
    """A step of theirs is what it was when it was tried."""
    drafted = small_pair.drafted()
    small_pair.complete(call(AGAIN, max_tokens=LONG, logit_bias=READABLE, **fields))
    assert drafted == small_pair.drafted()


def test_a_replay_goes_on_with_drafts(small_pair: Pair) -> None:
    """What it brings along is fed one by one; then the rest comes as it would have come."""
    asked = call(AGAIN, max_tokens=LONG, logit_bias=READABLE)
    (whole,) = small_pair.complete(asked)
    before = small_pair.accepted()
    again = small_pair.drafting.complete(asked, replay=[whole.ids()[:11]])
    assert whole.deltas[11:] == again.deltas
    assert small_pair.accepted() > before


def test_a_paused_stream_goes_on(pair: Pair) -> None:
    """Wherever it stood."""
    ban = {token: -100.0 for token in pair.plain.model.ends}
    asked = call(AGAIN, max_tokens=44, logit_bias=ban)
    (whole,) = pair.complete(asked)
    slow = pair.drafting.start(asked)
    while len(slow.ids()) < 25:
        slow.step()
    pair.drafting.scheduler.pause(slow.run, True)
    pair.drafting.complete(call(VILLAGE, max_tokens=4))
    pair.drafting.scheduler.pause(slow.run, False)
    assert whole.ids() == slow.wait().ids()


def test_a_cancelled_stream_leaves_the_others_right(pair: Pair) -> None:
    """In the middle of its drafts; what its sequence held serves the next call as it should."""
    ban = {token: -100.0 for token in pair.plain.model.ends}
    (whole,) = pair.complete(call(AGAIN, max_tokens=40, logit_bias=ban))
    gone = pair.drafting.start(call(AGAIN, max_tokens=300, logit_bias=ban))
    while len(gone.ids()) < 30:
        gone.step()
    pair.drafting.scheduler.cancel(gone.run)
    wait_until(lambda: pair.drafting.scheduler.running == 0)
    again = pair.drafting.complete(call(AGAIN, max_tokens=40, logit_bias=ban))
    assert whole.ids() == again.ids()


def test_a_model_whose_rows_do_not_agree_has_none(tiny: Model) -> None:
    """Weights of 32 bits come out otherwise in steps of several tokens."""
    ban = {token: -100.0 for token in tiny.ends}
    with Rig(tiny, 2, 256) as rig:
        rig.complete(call([5, 6, 7] * 20, max_tokens=100, logit_bias=ban))
        wait_until(lambda: not rig.scheduler._untried)
        rig.complete(call([5, 6, 7] * 20, max_tokens=100, logit_bias=ban))
        assert rig.scheduler._rounds.costs is None
        assert 0 == rig.scheduler.counters.drafted_tokens


def test_a_call_does_not_wait_for_the_trial(small: Model) -> None:
    """It breaks it off, up to a number of times; it is made up for when that call is over, and what
    is kept stays."""
    rig = Rig(small, 2, 256)
    first = rig.start(call(AGAIN, max_tokens=2))
    for _ in range(SHORT_RESTS_MAX):
        rig.scheduler._try_drafts()
        assert (True, None) == (rig.scheduler._untried, rig.scheduler._rounds.costs)
    with rig:
        first.wait()
        wait_until(lambda: rig.scheduler._rounds.costs is not None)
        again = rig.complete(call(AGAIN, max_tokens=2))
    assert first.ids() == again.ids()
    assert first.finished.usage.prompt_tokens - 1 == again.finished.usage.cached_tokens


def test_calls_one_by_one_do_not_meet_the_trial(
    small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts are tried in none of their short pauses, but in one after so many all the same."""
    monkeypatch.setattr(module, "REST_S", 60.0)  # no pause of a busy machine is as long
    with Rig(small, 2, 256) as rig:
        scheduler = rig.scheduler
        rests = [0]
        while scheduler._rounds.costs is None:
            rig.complete(call(AGAIN, max_tokens=1))
            rests.append(scheduler._short_rests)
    assert sorted(rests) == rests
    assert rests[-1] == SHORT_RESTS_MAX == len(set(rests)) - 1


def test_a_trial_that_was_broken_off_often_is_made(small: Model) -> None:
    """An engine that is never idle for long has drafts all the same."""
    rig = Rig(small, 2, 256)
    first = rig.start(call(AGAIN, max_tokens=2))
    for _ in range(SHORT_RESTS_MAX + 1):
        rig.scheduler._try_drafts()
    assert rig.scheduler._rounds.costs is not None
    with rig:
        first.wait()


def test_a_paused_call_is_not_disturbed_by_the_trial(pair: Pair) -> None:
    """Nobody computes, yet sequences are in use: the trial waits until none is."""
    ban = {token: -100.0 for token in pair.plain.model.ends}
    asked = call(VILLAGE, max_tokens=60, logit_bias=ban)
    rig = Rig(pair.plain.model, 1, 256)
    slow = rig.start(asked)
    with rig:
        slow.step()
        rig.scheduler.pause(slow.run, True)
        wait_until(lambda: rig.scheduler.idle)
        assert not rig.scheduler._may_try_drafts()
        rig.scheduler.pause(slow.run, False)
        slow.wait()
        wait_until(lambda: not rig.scheduler._untried)
    assert pair.plain.complete(asked).ids() == slow.ids()


class Drafty:
    """A context that fails to compute several tokens of a stream, for a while."""

    def __init__(self, context: Context) -> None:
        self._context, self.broken, self.failed = context, False, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def decode(self, length: int) -> None:
        if self.broken and length in (2, 4, 8) and np.all(self._context.outputs[:length]):
            self.failed += 1
            raise DecodeError(-3)
        self._context.decode(length)


def test_a_draft_that_fails_fails_nobody(small: Model) -> None:
    """The token that was due is computed without it."""
    made: list[Drafty] = []

    def wrap(context: Context) -> Context:
        made.append(Drafty(context))
        return cast("Context", made[0])

    asked = call(AGAIN, max_tokens=LONG, logit_bias=READABLE)
    wrapper: Callable[[Context], Context] = wrap
    with Rig(small, 2, 512, wrap=wrapper) as rig, Rig(small, 2, 512, bounds=PLAIN) as plain:
        rig.complete(call("x", max_tokens=1))
        wait_until(lambda: rig.scheduler._rounds.costs is not None)
        rig.scheduler._rounds.costs = Steady()
        made[0].broken = True
        done = rig.complete(asked)
        plain.complete(call("x", max_tokens=1))
        assert plain.complete(asked).deltas == done.deltas
    assert made[0].failed > 3


class Leaving:
    """A context in the middle of whose first decode a call is cancelled, once there is one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.leave: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def decode(self, length: int) -> None:
        leave, self.leave = self.leave, None
        if leave is not None:
            leave()
        self._context.decode(length)


def test_a_call_that_left_does_not_end_the_trial(small: Model) -> None:
    """The step that its leaving breaks off is the last before the trial, which is no such step."""
    made: list[Leaving] = []

    def wrap(context: Context) -> Context:
        made.append(Leaving(context))
        return cast("Context", made[0])

    rig = Rig(small, 2, 256, wrap=wrap)
    gone = rig.start(call(AGAIN, max_tokens=100))
    made[0].leave = lambda: rig.scheduler.cancel(gone.run)
    with rig:
        wait_until(lambda: not rig.scheduler._untried)
        assert gone.run.cancelled
        assert rig.scheduler._rounds.costs is not None
